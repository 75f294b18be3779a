package scenario

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
)

// Way is a way in that contrib/postfix/DOORS.md describes.
type Way struct {
	Name     string
	Headings []string // of DOORS.md, in the order in which an administrator obeys them
	Table    string   // the listener in millrace.toml, as DOORS.md has it
	Entry    string   // where clients hand in mail, as DOORS.md has it; "": Postfix's own listener
	// Change replaces words of the commands, old and new in turn: another choice that DOORS.md names.
	Change []string
}

// The ways of DOORS.md.
var (
	AfterQueue = Way{
		Name: "after the queue", Headings: []string{"The way back", "The transport", "After the queue"},
		Table: `smtpd.filter = ["inet:127.0.0.1:8896"]`,
	}
	ChosenSenders = Way{
		Name: "chosen senders", Headings: []string{"The way back", "The transport", "Chosen senders"},
		Table: `smtpd.filter = ["inet:127.0.0.1:8896"]`, Change: []string{"@news.example.com", "@sender.test"},
	}
	ByLMTP = Way{
		Name: "chosen senders by LMTP", Headings: ChosenSenders.Headings, Table: ChosenSenders.Table,
		Change: []string{"@news.example.com = millrace:", "@sender.test = millrace-lmtp:inet:"},
	}
	Waiting = Way{
		Name: "chosen senders who wait", Headings: ChosenSenders.Headings, Table: ChosenSenders.Table,
		Change: []string{"@news.example.com = millrace:", "@sender.test = millrace-waits:"},
	}
	Returning = Way{
		Name: "mail without room comes back", Headings: []string{"The way back", "The transport", "Mail without room comes back"},
		Table: `smtpd.filter = ["inet:127.0.0.1:8896"]` + "\n" + `gate.overflow = "return"`,
	}
	BeforeQueue = Way{
		Name: "before the queue", Headings: []string{"The way back", "Before the queue"},
		Table: `smtpd.proxy = ["inet:127.0.0.1:8898"]`, Entry: "127.0.0.1:2526",
	}
	Application = Way{
		Name: "from an application", Headings: []string{"The way back", "From an application"},
		Table: `smtpd.submission = ["inet:127.0.0.1:8899"]`, Entry: "127.0.0.1:8899",
	}
)

// Ways are all of them, but for Waiting, which is a choice that one of them has, and Returning, which needs the milter door too.
func Ways() []Way { return []Way{AfterQueue, ChosenSenders, ByLMTP, BeforeQueue, Application} }

// proxied is the port of the listener with smtpd_proxy_filter.
const proxied = "2526"

// documented are the ports of DOORS.md.
var documented = []string{"8896", "8898", "8899", "10027", proxied}

// NewBehind makes a Scene with a Millrace that has the way's listener, and a Postfix laid out as DOORS.md says. Both run.
func NewBehind(dir, bin string, w Way, o Options) (*Scene, error) {
	pairs, err := freePorts(documented)
	if err != nil {
		return nil, err
	}
	o.Config = fmt.Sprintf("%s\nbulk.local_domains = [%q]\n%s\nsmtpd.reinject = \"[127.0.0.1]:10027\"\n", o.Config, LocalDomain, w.Table)
	o.Config = strings.NewReplacer(pairs...).Replace(o.Config)
	s, err := New(dir, bin, o)
	if err != nil {
		return nil, err
	}
	_, inject, _ := strings.Cut(s.Millrace.inject, ":")
	s.ports, s.way = strings.NewReplacer(append(pairs, ":10026", ":"+inject)...), w
	if err := s.StartMillrace(); err != nil {
		return nil, fmt.Errorf("%w; %w", err, s.Close())
	}
	if err := s.layOut(o); err != nil {
		return nil, fmt.Errorf("%w; %w", err, s.Close())
	}
	return s, nil
}

// layOut starts the Postfix and runs the commands.
func (s *Scene) layOut(o Options) error {
	dir, err := s.mkdir("postfix")
	if err != nil {
		return err
	}
	s.Postfix, err = mta.StartPostfix(dir, mta.PostfixConfig{Relay: s.Remote, Local: map[string]string{LocalDomain: s.Local}, Main: o.Main})
	if err != nil {
		return err
	}
	s.closers = append(s.closers, s.Postfix.Stop)
	if s.way.Name == Returning.Name { // README.md comes first
		if err := s.obeyReadme(); err != nil {
			return err
		}
	}
	if err := s.hosts(filepath.Join(dir, "queue", "etc")); err != nil {
		return err
	}
	return s.Obey(s.way.Headings...)
}

// obeyReadme runs the commands of README.md.
func (s *Scene) obeyReadme() error {
	blocks, err := mta.Commands(filepath.Join(ContribDir, "postfix", "README.md"), "Add it")
	if err != nil {
		return err
	}
	for _, block := range blocks {
		if err := s.Postfix.Shell(strings.NewReplacer("unix:millrace/milter.sock", "inet:"+s.Millrace.Milter, "127.0.0.1:10026", s.Millrace.inject).Replace(block)); err != nil {
			return fmt.Errorf("README.md: %w", err)
		}
	}
	return nil
}

// Flushing is the line of DOORS.md that has Postfix offer mail again, for this Scene's Postfix: it is not the one of the machine, so
// that its configuration must be named.
func Flushing(dir string) string {
	return fmt.Sprintf("smtpd.flush = [\"/usr/sbin/postqueue\", \"-c\", %q, \"-i\", \"{id}\"]\n", filepath.Join(dir, "postfix", "etc"))
}

// Obey runs the commands below headings of DOORS.md.
func (s *Scene) Obey(headings ...string) error {
	for _, heading := range headings {
		blocks, err := mta.Commands(filepath.Join(ContribDir, "postfix", "DOORS.md"), heading)
		if err != nil {
			return err
		}
		for _, block := range blocks {
			if err := s.Postfix.Shell(s.ports.Replace(strings.NewReplacer(s.way.Change...).Replace(block))); err != nil {
				return fmt.Errorf("%s: %w", heading, err)
			}
		}
	}
	return nil
}

// hosts writes the lines of DOORS.md for /etc/hosts where an smtpd in a chroot reads them: the file of this machine is not changed.
func (s *Scene) hosts(etc string) error {
	if err := os.MkdirAll(etc, 0o755); err != nil {
		return err
	}
	for name, text := range map[string]string{
		"hosts": "127.0.0.1 localhost\n127.0.0.1 millrace-door\n127.0.0.2 millrace-door\n", "host.conf": "multi on\n", "nsswitch.conf": "hosts: files\n",
	} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// freePorts chooses a free port for each of those documented, and returns what must be replaced, old and new in turn.
func freePorts(documented []string) (pairs []string, err error) {
	for _, old := range documented {
		addr, err := process.FreeAddr()
		if err != nil {
			return nil, err
		}
		_, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		if old == proxied { // an smtpd that looks a name up in the hosts file of its chroot
			pairs = append(pairs, ":"+old+" inet n - n", ":"+port+" inet n - y")
		}
		pairs = append(pairs, ":"+old, ":"+port)
	}
	return pairs, nil
}

// At is where the Scene listens in place of an address of DOORS.md.
func (s *Scene) At(documented string) string { return s.ports.Replace(documented) }

// Entry is host:port where clients hand in mail.
func (s *Scene) Entry() string {
	if s.way.Entry != "" {
		return s.At(s.way.Entry)
	}
	return s.Addr()
}

// second is the address, as DOORS.md has it, where Postfix itself listens behind a name with two addresses.
func (w Way) second() string {
	_, port, _ := strings.Cut(w.Table, "127.0.0.1:")
	return "127.0.0.2:" + strings.Trim(port, `"]`)
}

// Fallback is host:port of Postfix's own listener at the second address, for a client of the application's kind.
func (s *Scene) Fallback() string { return s.At(s.way.second()) }
