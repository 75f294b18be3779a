package mta

import (
	"bytes"
	_ "embed"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/template"

	"github.com/millrace/millrace/test/process"
)

// SendmailConfig says how a private Sendmail differs from a stock one. The zero value is ready for use.
type SendmailConfig struct {
	Hostname string // default mx.sendmail.test
	// Relay is host:port of the server that gets all mail for other hosts, by the mailer "esmtp".
	Relay string
	// Local maps each local domain to host:port of the LMTP server that gets its mail, by a mailer of its own.
	Local map[string]string
	// Milters are sockets in Sendmail's form, in order, for instance "inet:8891@127.0.0.1".
	Milters []string
	// Fragment is mc text that comes after all that; see ReadSendmailFragment.
	Fragment string
	// Lines are further mc lines, before the MAILERs.
	Lines []string
	// Trace writes every byte of every dialogue to Dir/trace. Sendmail has no other log than syslog.
	Trace bool
}

// Sendmail is a running private Sendmail.
type Sendmail struct {
	Dir  string
	Addr string // host:port of its daemon

	config SendmailConfig
	daemon *process.Process
}

//go:embed sendmail.mc.tmpl
var sendmailMC string

// sendmailRoot is where test/run unpacks Debian's packages, which cannot be installed beside Postfix.
func sendmailRoot() string {
	if dir := os.Getenv("MILLRACE_SENDMAIL"); dir != "" {
		return dir
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "millrace-test", "sendmail")
}

func sendmailBinary() string { return filepath.Join(sendmailRoot(), "usr/libexec/sendmail/sendmail") }

// StartSendmail sets up a Sendmail below dir, which must exist, starts it, and returns when it answers. Only root may
// do so.
func StartSendmail(dir string, c SendmailConfig) (*Sendmail, error) {
	if err := SendmailPart.Check(); err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	if c.Hostname == "" {
		c.Hostname = "mx.sendmail.test"
	}
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &Sendmail{Dir: dir, Addr: addr, config: c}
	if err := s.setUp(); err != nil {
		return nil, err
	}
	if err := s.Start(); err != nil {
		return nil, err
	}
	return s, nil
}

// setUp writes the files and has m4 make sendmail.cf.
func (s *Sendmail) setUp() error {
	if err := openTo(s.Dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(s.Dir, "queue"), 0o700); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	mc, err := s.mc()
	if err != nil {
		return err
	}
	for name, text := range map[string]string{
		"sendmail.mc":    mc,
		"service.switch": "hosts files\naliases files\n",
		"hosts":          fmt.Sprintf("127.0.0.1 %s localhost\n", s.config.Hostname),
	} {
		if err := os.WriteFile(filepath.Join(s.Dir, name), []byte(text), 0o644); err != nil {
			return fmt.Errorf("mta: %w", err)
		}
	}
	m4 := exec.Command("m4", filepath.Join(s.Dir, "sendmail.mc"))
	var warnings bytes.Buffer
	m4.Stderr = &warnings // it warns of an open relay, which this one is, on the loopback address
	cf, err := m4.Output()
	if err != nil {
		return fmt.Errorf("mta: make sendmail.cf: %w: %s", err, warnings.String())
	}
	if err := os.WriteFile(s.cf(), cf, 0o644); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	return nil
}

func (s *Sendmail) cf() string { return filepath.Join(s.Dir, "sendmail.cf") }

// mc returns the template filled in.
func (s *Sendmail) mc() (string, error) {
	part := func(i int) func(string) (string, error) {
		return func(addr string) (string, error) {
			host, port, err := net.SplitHostPort(addr)
			return []string{host, port}[i], err
		}
	}
	t, err := template.New("mc").Funcs(template.FuncMap{"host": part(0), "port": part(1)}).Parse(sendmailMC)
	if err != nil {
		return "", fmt.Errorf("mta: %w", err)
	}
	type local struct{ Domain, Addr string }
	var locals []local
	for _, domain := range slices.Sorted(maps.Keys(s.config.Local)) {
		locals = append(locals, local{domain, s.config.Local[domain]})
	}
	var mc strings.Builder
	err = t.Execute(&mc, struct {
		SendmailConfig
		CF, Dir, Addr string
		Local         []local
	}{s.config, filepath.Join(sendmailRoot(), "usr/share/sendmail/cf"), s.Dir, s.Addr, locals})
	if err != nil {
		return "", fmt.Errorf("mta: fill in sendmail.mc: %w", err)
	}
	return mc.String(), nil
}

// Start starts a stopped Sendmail again, on the same port and with the same queue.
func (s *Sendmail) Start() error {
	args := []string{"-bD", "-q1m"}
	if s.config.Trace {
		args = append(args, "-X", filepath.Join(s.Dir, "trace"))
	}
	daemon, err := start(s.command(args...), filepath.Join(s.Dir, "daemon.out"), greets, s.Addr)
	if err != nil {
		return err
	}
	s.daemon = daemon
	return nil
}

// command is a sendmail command that finds the unpacked libraries. On a host whose name has no dot Sendmail sleeps for
// a minute before it reads any configuration, so no setting helps: nss_wrapper answers in place of the system, with a
// name that has one.
func (s *Sendmail) command(args ...string) *exec.Cmd {
	cmd := exec.Command(sendmailBinary(), append([]string{"-C" + s.cf()}, args...)...)
	libraries, _ := filepath.Glob(filepath.Join(sendmailRoot(), "usr/lib/*-linux-gnu*"))
	more, _ := filepath.Glob(filepath.Join(sendmailRoot(), "lib/*-linux-gnu*"))
	cmd.Env = append(os.Environ(),
		"LD_LIBRARY_PATH="+strings.Join(append(libraries, more...), ":"),
		"LD_PRELOAD=libnss_wrapper.so",
		"NSS_WRAPPER_HOSTNAME="+s.config.Hostname,
		"NSS_WRAPPER_HOSTS="+filepath.Join(s.Dir, "hosts"),
	)
	return cmd
}

// Stop ends Sendmail and waits for it. The queue stays in Dir.
func (s *Sendmail) Stop() error { return stop(s.daemon, syscall.SIGTERM) }

// Kill ends it as a crash would.
func (s *Sendmail) Kill() error { return stop(s.daemon, syscall.SIGKILL) }

// Flush has Sendmail try all queued mail now and returns when it has.
func (s *Sendmail) Flush() error {
	_, err := run(s.command("-q"))
	return err
}

// Queue lists the ids of queued messages.
func (s *Sendmail) Queue() ([]string, error) {
	files, err := filepath.Glob(filepath.Join(s.Dir, "queue", "qf*"))
	if err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	for i, f := range files {
		files[i] = strings.TrimPrefix(filepath.Base(f), "qf")
	}
	return files, nil
}
