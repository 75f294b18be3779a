package mta

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/test/process"
)

// PostfixConfig says how a private Postfix differs from a stock one. The zero value is ready for use.
type PostfixConfig struct {
	Hostname string // myhostname; default mx.postfix.test
	// Relay is host:port of the server that gets all mail for other hosts, by the transport "smtp". Empty: DNS decides.
	Relay string
	// Local maps each local domain to host:port of the LMTP server that gets its mail, by the transport "lmtp".
	Local map[string]string
	// Milters are smtpd_milters in their order, for instance "inet:127.0.0.1:8891".
	Milters []string
	// Fragment is applied after everything else; see ReadFragment.
	Fragment *Fragment
	// Main are further settings for main.cf. They win over the settings that follow from the fields above.
	Main map[string]string
	// Listeners are further smtpd services, by a name for Postfix.Listener, each with its -o options.
	Listeners map[string][]string
	// Master are further entries for master.cf as they stand there, continuation lines included.
	Master []string
}

// Postfix is a running private Postfix.
type Postfix struct {
	Dir  string // everything it owns
	Addr string // host:port of its smtpd

	config    PostfixConfig
	etc       string
	listeners map[string]string
	daemons   string
	master    *process.Process
}

// StartPostfix sets up a Postfix below dir, which must exist, starts it, and returns when it answers. Only root may do
// so.
func StartPostfix(dir string, c PostfixConfig) (*Postfix, error) {
	if err := PostfixPart.Check(); err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	if c.Hostname == "" {
		c.Hostname = "mx.postfix.test"
	}
	p := &Postfix{Dir: dir, config: c, etc: filepath.Join(dir, "etc"), listeners: make(map[string]string)}
	if err := p.setUp(); err != nil {
		return nil, err
	}
	if err := p.Start(); err != nil {
		return nil, err
	}
	return p, nil
}

// setUp writes the configuration and makes the directories.
func (p *Postfix) setUp() error {
	if err := openTo(p.Dir); err != nil {
		return err
	}
	for _, name := range []string{"etc", "queue", "data"} {
		if err := os.MkdirAll(filepath.Join(p.Dir, name), 0o755); err != nil {
			return fmt.Errorf("mta: %w", err)
		}
	}
	if err := p.writeMain(); err != nil {
		return err
	}
	if err := p.writeMaster(); err != nil {
		return err
	}
	if p.config.Fragment != nil {
		if err := p.config.Fragment.apply(p); err != nil {
			return err
		}
	}
	owner, err := p.Postconf("-h", "mail_owner")
	if err != nil {
		return err
	}
	if _, err := run(exec.Command("chown", strings.TrimSpace(owner), filepath.Join(p.Dir, "data"))); err != nil {
		return err
	}
	daemons, err := p.Postconf("-h", "daemon_directory")
	p.daemons = strings.TrimSpace(daemons)
	return err
}

// writeMain writes main.cf: all settings are stock but for those that make the instance private and let local clients
// relay.
func (p *Postfix) writeMain() error {
	main := map[string]string{
		"compatibility_level":     "3.6",
		"queue_directory":         filepath.Join(p.Dir, "queue"),
		"data_directory":          filepath.Join(p.Dir, "data"),
		"maillog_file":            p.logFile(),
		"maillog_file_prefixes":   p.Dir,
		"myhostname":              p.config.Hostname,
		"mydestination":           "",
		"mynetworks":              "127.0.0.0/8",
		"inet_interfaces":         "127.0.0.1",
		"inet_protocols":          "ipv4",
		"alias_maps":              "",
		"alias_database":          "",
		"notify_classes":          "",
		"smtpd_milters":           strings.Join(p.config.Milters, ", "),
		"multi_instance_enable":   "no",
		"import_environment":      "MAIL_CONFIG MAIL_DEBUG MAIL_LOGTAG TZ",
		"smtpd_reject_footer":     "",
		"smtp_host_lookup":        "dns, native",
		"relayhost":               bracketed(p.config.Relay),
		"virtual_mailbox_domains": strings.Join(slices.Sorted(maps.Keys(p.config.Local)), ", "),
		"transport_maps":          p.localTransports(),
	}
	maps.Copy(main, p.config.Main)
	var text bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(main)) {
		fmt.Fprintf(&text, "%s = %s\n", name, main[name])
	}
	if err := os.WriteFile(filepath.Join(p.etc, "main.cf"), text.Bytes(), 0o644); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	return nil
}

// bracketed is host:port as a next hop that Postfix does not look up in DNS.
func bracketed(addr string) string {
	host, port, ok := strings.Cut(addr, ":")
	if !ok {
		return addr
	}
	return "[" + host + "]:" + port
}

func (p *Postfix) localTransports() string {
	if len(p.config.Local) == 0 {
		return ""
	}
	var entries []string
	for _, domain := range slices.Sorted(maps.Keys(p.config.Local)) {
		entries = append(entries, fmt.Sprintf("{ %s = lmtp:inet:%s }", domain, p.config.Local[domain]))
	}
	return "inline:{ " + strings.Join(entries, ", ") + " }"
}

// smtpEntry matches the entry for port 25. chrooted matches a service that runs in a chroot: a private queue directory
// lacks the files that a chroot needs.
var (
	smtpEntry = regexp.MustCompile(`(?m)^smtp(\s+inet\s)`)
	chrooted  = regexp.MustCompile(`(?m)^([^#\s]\S*\s+\S+\s+\S+\s+\S+\s+)[y-](\s)`)
)

// writeMaster writes master.cf: the one that comes with Postfix, without chroot and with a free port in place of 25.
func (p *Postfix) writeMaster() error {
	stock, err := stockMaster()
	if err != nil {
		return err
	}
	if p.Addr, err = process.FreeAddr(); err != nil {
		return err
	}
	text := chrooted.ReplaceAllString(stock, "${1}n${2}")
	text = smtpEntry.ReplaceAllString(text, p.Addr+"${1}")
	if !strings.Contains(text, p.Addr) {
		return fmt.Errorf("mta: no smtp service in the stock master.cf")
	}
	for _, name := range slices.Sorted(maps.Keys(p.config.Listeners)) {
		addr, err := process.FreeAddr()
		if err != nil {
			return err
		}
		p.listeners[name] = addr
		text += fmt.Sprintf("\n%s inet n - n - - smtpd\n", addr)
		for _, option := range p.config.Listeners[name] {
			text += "    -o " + option + "\n"
		}
	}
	for _, entry := range p.config.Master {
		text += "\n" + strings.TrimRight(entry, "\n") + "\n"
	}
	if err := os.WriteFile(filepath.Join(p.etc, "master.cf"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	return nil
}

// stockMaster reads the master.cf that came with Postfix. The administrator may have changed the one in /etc/postfix.
func stockMaster() (string, error) {
	for _, name := range []string{"/usr/share/postfix/master.cf.dist", "/etc/postfix/master.cf.proto"} {
		if text, err := os.ReadFile(name); err == nil {
			return string(text), nil
		}
	}
	return "", fmt.Errorf("mta: the master.cf that comes with Postfix is neither in /usr/share/postfix nor in /etc/postfix")
}

// Start starts a stopped Postfix again, on the same ports and with the same queue.
func (p *Postfix) Start() error {
	if err := p.age(); err != nil {
		return p.explained(err)
	}
	if _, err := p.command("postfix", "check"); err != nil {
		return p.explained(err)
	}
	cmd := exec.Command(filepath.Join(p.daemons, "master"), "-c", p.etc, "-d")
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+p.etc)
	addrs := append(slices.Collect(maps.Values(p.listeners)), p.Addr)
	master, err := start(cmd, filepath.Join(p.Dir, "master.out"), greets, addrs...)
	if err != nil {
		return p.explained(err)
	}
	p.master = master
	return nil
}

// explained adds the reason to an error: the end of the log, or the complaint of postqueue where Postfix could not even
// open its log. The commands that start Postfix print nothing without a terminal.
func (p *Postfix) explained(err error) error {
	if _, missing := os.Stat(p.logFile()); missing != nil {
		_, why := p.command("postqueue", "-p")
		return errors.Join(err, why)
	}
	return fmt.Errorf("%w; log: %s", err, process.Tail(p.logFile()))
}

// Stop ends Postfix and waits for it. Queue and log stay in Dir.
func (p *Postfix) Stop() error { return stop(p.master, syscall.SIGTERM) }

// Kill ends it as a crash would.
func (p *Postfix) Kill() error { return stop(p.master, syscall.SIGKILL) }

// Reload has Postfix read its changed configuration.
func (p *Postfix) Reload() error {
	_, err := p.command("postfix", "reload")
	return err
}

// Shell runs commands as an administrator of this Postfix would, also when it does not run; only "postfix reload" needs a
// running one. It fails when a command fails or Postfix warns. Postfix waits until a file that it reads is two seconds old:
// a postconf in front of the real one makes its files older.
func (p *Postfix) Shell(commands string) error {
	bin := filepath.Join(p.Dir, "bin")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	script := "#!/bin/sh\n" + lookup("postconf") + " \"$@\"\nstatus=$?\ntouch -d '1 minute ago' \"$MAIL_CONFIG/main.cf\" \"$MAIL_CONFIG/master.cf\"\nexit $status\n"
	if err := os.WriteFile(filepath.Join(bin, "postconf"), []byte(script), 0o755); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	cmd := exec.Command("sh", "-eu", "-c", commands)
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+p.etc, "PATH="+bin+":"+os.Getenv("PATH")+":/usr/sbin")
	out, err := cmd.CombinedOutput()
	if err == nil && strings.Contains(string(out), "warning:") {
		err = errors.New("Postfix warns")
	}
	if err != nil {
		return fmt.Errorf("mta: commands: %w: %s", err, out)
	}
	return nil
}

// Flush has Postfix try all queued mail now.
func (p *Postfix) Flush() error {
	_, err := p.command("postqueue", "-f")
	return err
}

// Postconf runs postconf on this instance and returns its output.
func (p *Postfix) Postconf(args ...string) (string, error) {
	out, err := p.command("postconf", args...)
	return out, errors.Join(err, p.age())
}

// age makes the configuration older: Postfix waits until a file that it reads is two seconds old.
func (p *Postfix) age() error {
	before := time.Now().Add(-time.Minute)
	return errors.Join(os.Chtimes(filepath.Join(p.etc, "main.cf"), before, before), os.Chtimes(filepath.Join(p.etc, "master.cf"), before, before))
}

// Listener returns host:port of the listener with this name, "" if there is none.
func (p *Postfix) Listener(name string) string { return p.listeners[name] }

// ConfigDir is where main.cf and master.cf are; Postfix's commands take it as MAIL_CONFIG.
func (p *Postfix) ConfigDir() string { return p.etc }

// command runs one of Postfix's own commands on this instance.
func (p *Postfix) command(name string, args ...string) (string, error) {
	cmd := exec.Command(lookup(name), append([]string{"-c", p.etc}, args...)...)
	return run(cmd)
}

func (p *Postfix) logFile() string { return filepath.Join(p.Dir, "maillog") }

// Log returns the mail log so far.
func (p *Postfix) Log() (string, error) {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return "", fmt.Errorf("mta: %w", err)
	}
	return string(text), nil
}

// Queued is one message in Postfix's queue, as postqueue -j prints it.
type Queued struct {
	Queue      string `json:"queue_name"` // active, deferred, hold, incoming, maildrop
	ID         string `json:"queue_id"`
	Size       int64  `json:"message_size"`
	Sender     string `json:"sender"`
	Recipients []struct {
		Address string `json:"address"`
		Reason  string `json:"delay_reason"`
	} `json:"recipients"`
}

// Queue lists the queue.
func (p *Postfix) Queue() ([]Queued, error) {
	text, err := p.command("postqueue", "-j")
	if err != nil {
		return nil, err
	}
	return parseQueue(text)
}

func parseQueue(text string) ([]Queued, error) {
	var list []Queued
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "{") {
			continue // a warning
		}
		var q Queued
		if err := json.Unmarshal([]byte(line), &q); err != nil {
			return nil, fmt.Errorf("mta: read queue: %w", err)
		}
		list = append(list, q)
	}
	return list, nil
}

// CPU is the processor time of all its processes since its start.
func (p *Postfix) CPU() (time.Duration, error) { return p.master.TreeCPU() }
