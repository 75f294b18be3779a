package scenario

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/mta"
)

// untouched is a configuration that lists no next hop.
const untouched = "bulk.next_hops = []"

// TestPostfixRoutes: Millrace takes what Postfix would send straight to the recipient's domain. A transport map, a relay
// host and sender-dependent settings are obeyed, with mail from sendmail(1) too.
func TestPostfixRoutes(t *testing.T) {
	remote := func(s *Scene) string { return "[" + strings.Replace(s.Remote, ":", "]:", 1) }
	for _, tt := range []struct {
		name string
		main func(*Scene) map[string]string
		want map[string]int
	}{
		{"transport_maps", func(s *Scene) map[string]string {
			return map[string]string{"relayhost": "", "transport_maps": fmt.Sprintf("inline:{ { a.test = smtp:%s }, { one@b.test = smtp:%s }, { c.test = smtp: } }", remote(s), remote(s))}
		}, map[string]int{"remote x@a.test": 1, "remote one@b.test": 1, "bulk two@b.test": 1, "bulk x@c.test": 1}},
		{"relayhost", func(s *Scene) map[string]string {
			return map[string]string{"relayhost": remote(s), "transport_maps": "inline:{ { c.test = smtp: } }"}
		}, map[string]int{"remote x@a.test": 1, "remote one@b.test": 1, "remote two@b.test": 1, "bulk x@c.test": 1}},
		{"sender_dependent_relayhost_maps", func(s *Scene) map[string]string {
			return map[string]string{"relayhost": "", "transport_maps": "", "sender_dependent_relayhost_maps": fmt.Sprintf("inline:{ { news@sender.test = %s } }", remote(s))}
		}, map[string]int{"remote x@a.test": 1, "remote one@b.test": 1, "remote two@b.test": 1, "remote x@c.test": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mta.Require(t, mta.PostfixPart)
			s := newScene(t, Options{Config: untouched})
			if err := s.StartPostfix(Options{Main: tt.main(s)}); err != nil {
				t.Fatal(err)
			}
			submit(t, s.Addr(), "<news@sender.test>", []string{"<x@a.test>", "<one@b.test>", "<two@b.test>", "<x@c.test>"}, []int{250, 250, 250, 250}, bulkMessage("route"))
			expect(t, s, tt.want)
		})
	}
}

// TestPostfixLocalSubmission: mail by sendmail(1) carries nothing of its route, and stays.
func TestPostfixLocalSubmission(t *testing.T) {
	s := beside(t, Options{Config: untouched})
	if _, err := s.Postfix.Postconf("-e", "non_smtpd_milters = $smtpd_milters"); err != nil {
		t.Fatal(err)
	}
	if err := s.Postfix.Reload(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sendmail", "-C", s.Postfix.ConfigDir(), "-f", "news@sender.test", "x@a.test")
	cmd.Env = append(os.Environ(), "MAIL_CONFIG="+s.Postfix.ConfigDir())
	cmd.Stdin = strings.NewReader(strings.ReplaceAll(bulkMessage("local"), "\r\n", "\n"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	expect(t, s, map[string]int{"remote x@a.test": 1})
}

// TestSendmailRoutes: mailertable and virtusertable are obeyed, and a smart host too. next_hops has Millrace take what goes to a
// next hop, and not what a virtusertable has given another address.
func TestSendmailRoutes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config string
		smart  bool
		want   map[string]int
	}{
		{"tables", untouched, false, map[string]int{"remote x@a.test": 1, "remote real@far.test": 1, "bulk x@c.test": 1}},
		{"smart host", untouched, true, map[string]int{"remote x@a.test": 1, "remote real@far.test": 1, "remote x@c.test": 1}},
		{"tables with next_hops", `bulk.next_hops = ["[127.0.0.1]"]`, false, map[string]int{"bulk x@a.test": 1, "remote real@far.test": 1, "bulk x@c.test": 1}},
		{"smart host with next_hops", "bulk.next_hops = [\"[127.0.0.1]\"]\nbulk.mailers = [\"esmtp\", \"relay\"]", true,
			map[string]int{"bulk x@a.test": 1, "remote real@far.test": 1, "bulk x@c.test": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			mta.Require(t, mta.SendmailPart)
			s := newScene(t, Options{Config: tt.config})
			dir, err := s.mkdir("sendmail")
			if err != nil {
				t.Fatal(err)
			}
			_, port, _ := strings.Cut(s.Remote, ":")
			for name, text := range map[string]string{
				"mailertable": "a.test esmtp:[127.0.0.1]\nfar.test esmtp:[127.0.0.1]\n", "virtusertable": "info@v.test real@far.test\n",
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			lines := []string{
				"define(`ESMTP_MAILER_ARGS', `TCP $h " + port + "')dnl", "define(`RELAY_MAILER_ARGS', `TCP $h " + port + "')dnl",
				"FEATURE(`mailertable', `text -k0 -v1 -o " + dir + "/mailertable')dnl", "FEATURE(`virtusertable', `text -k0 -v1 -o " + dir + "/virtusertable')dnl",
				"VIRTUSER_DOMAIN(`v.test')dnl",
			}
			if tt.smart {
				lines = append(lines, "define(`SMART_HOST', `[127.0.0.1]')dnl")
			}
			f, err := mta.ReadSendmailFragment(filepath.Join(ContribDir, "sendmail"), s.Millrace.MilterSocket(), s.Millrace.inject)
			if err != nil {
				t.Fatal(err)
			}
			if s.Sendmail, err = mta.StartSendmail(dir, mta.SendmailConfig{Fragment: f, Lines: lines}); err != nil {
				t.Fatal(err)
			}
			s.closers = append(s.closers, s.Sendmail.Stop)
			submit(t, s.Addr(), "<news@sender.test>", []string{"<x@a.test>", "<info@v.test>", "<x@c.test>"}, []int{250, 250, 250}, bulkMessage("route"))
			expect(t, s, tt.want)
		})
	}
}
