package scenario

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/cmd/setup"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/process"
)

// findings runs "millrace check --mta" on a configuration directory, as an administrator would.
func findings(t *testing.T, s *Scene, dir string) []setup.Finding {
	t.Helper()
	out, err := s.Millrace.Run("check", "--mta", "--mta-dir", dir, "--json")
	var all []setup.Finding
	wrong := false
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue // a warning about millrace.toml, or the last word
		}
		var f setup.Finding
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		wrong = wrong || f.Severity == setup.Error
		all = append(all, f)
	}
	if (err != nil) != wrong {
		t.Errorf("%v, with %s", err, out)
	}
	return all
}

// found are the codes of the findings but for notes.
func found(all []setup.Finding) []string {
	var codes []string
	for _, f := range all {
		if f.Severity != setup.Note {
			codes = append(codes, f.Code)
		}
	}
	return codes
}

// TestCheckFindsEachSetting: a real Postfix with contrib/postfix has nothing but notes. With each of these settings it has
// a finding more, and without them none.
func TestCheckFindsEachSetting(t *testing.T) {
	t.Parallel() // it waits for Postfix more than it works
	s := beside(t, Options{Config: untouched, Main: map[string]string{"relayhost": ""}})
	p := s.Postfix
	if got := found(findings(t, s, p.ConfigDir())); len(got) > 0 {
		t.Fatalf("contrib/postfix alone: %q", got)
	}
	milters, err := p.Postconf("-h", "smtpd_milters")
	if err != nil {
		t.Fatal(err)
	}
	milters = strings.TrimSpace(milters)
	smtp := p.Addr + "/inet/"
	for _, tt := range []struct{ flag, setting, undo, code string }{
		{"-e", "content_filter=smtp-amavis:[127.0.0.1]:10024", "", "content-filter"},
		{"-P", smtp + "content_filter=smtp-amavis:[127.0.0.1]:10024", "", "content-filter"},
		{"-P", smtp + "smtpd_proxy_filter=127.0.0.1:10024", "", "proxy-filter"},
		{"-e", "virtual_alias_maps=inline:{ { x@a.test = y@b.test } }", "", "virtual-alias"},
		{"-e", "sender_canonical_maps=inline:{ { x@a.test = y@b.test } }", "", "canonical-maps"},
		{"-e", "sender_canonical_maps=tcp:localhost:10001", "", "srs"},
		{"-P", "cleanup/unix/always_bcc=all@b.test", "", "bcc"},
		{"-e", "smtp_generic_maps=inline:{ { x@a.test = y@b.test } }", "", "generic-maps"},
		{"-e", "smtpd_sender_restrictions=check_sender_access inline:{ { a@b.test = HOLD later } }", "", "access-action"},
		{"-e", "smtpd_end_of_data_restrictions=check_policy_service inet:127.0.0.1:10040", "", "policy-action"},
		{"-e", "header_checks=static:{FILTER smtp:x}", "", "header-checks"},
		{"-e", "smtp_header_checks=static:IGNORE", "", "smtp-checks"},
		{"-e", "smtpd_milters=unix:mimedefang/mimedefang.sock, " + milters, "smtpd_milters=" + milters, "front-changes-envelope"},
		{"-e", "smtpd_milters=" + milters + ", inet:127.0.0.1:8891", "smtpd_milters=" + milters, "milter-behind"},
		{"-e", "smtpd_milters=", "smtpd_milters=" + milters, "milter-not-asked"},
		{"-e", "millrace_milter={ inet:127.0.0.1:1, connect_timeout=2s, default_action=accept }", "millrace_milter={ inet:" + s.Millrace.Milter + ", connect_timeout=2s, default_action=accept }", "milter-elsewhere"},
		{"-e", "millrace_milter={ inet:" + s.Millrace.Milter + ", connect_timeout=2s }", "millrace_milter={ inet:" + s.Millrace.Milter + ", connect_timeout=2s, default_action=accept }", "milter-default-action"},
		{"-e", "milter_protocol=4", "milter_protocol=6", "milter-protocol"},
		{"-e", "millrace_milter={ inet:" + s.Millrace.Milter + ", connect_timeout=2s, content_timeout=5s, default_action=accept }", "millrace_milter={ inet:" + s.Millrace.Milter + ", connect_timeout=2s, default_action=accept }", "milter-content-timeout"},
		{"-e", "non_smtpd_milters=$smtpd_milters", "", "sendmail-offered"},
		{"-e", "smtp_tls_security_level=dane", "", "tls-policy"},
		{"-e", "smtp_bind_address=192.0.2.7", "", "source-address"},
		{"-e", "soft_bounce=yes", "soft_bounce=no", "soft-bounce"},
		{"-e", "defer_transports=smtp", "", "defer-transports"},
	} {
		name, _, _ := strings.Cut(tt.setting, "=")
		undo := tt.undo
		if undo == "" {
			undo = name + "="
		}
		if _, err := p.Postconf(tt.flag, tt.setting); err != nil {
			t.Fatal(err)
		}
		if got := found(findings(t, s, p.ConfigDir())); !slices.Contains(got, tt.code) {
			t.Errorf("%s: found %q, want %s", tt.setting, got, tt.code)
		}
		if _, err := p.Postconf(tt.flag, undo); err != nil {
			t.Fatal(err)
		}
	}
	if got := found(findings(t, s, p.ConfigDir())); len(got) > 0 {
		t.Errorf("all undone: found %q", got)
	}
}

// TestCheckIsTrue: what the check says of a setting is what happens to a message. "bulk" is what Millrace sends, "remote" what
// Postfix sends.
func TestCheckIsTrue(t *testing.T) {
	t.Parallel() // it waits for Postfix more than it works
	policy := answering(t, "action=HOLD later\n\n")
	// Each process of Postfix serves once, so that none of them works by an older setting.
	s := beside(t, Options{Main: map[string]string{"max_use": "1"}})
	all := make(map[string]int) // what has arrived so far
	for _, tt := range []struct {
		name, setting, value string
		code                 string // "": none but notes
		arrives              string
	}{
		{"hold", "smtpd_sender_restrictions", "check_sender_access inline:{ { news@sender.test = HOLD later } }", "access-action", "bulk x@a.test"},
		{"redirect", "smtpd_sender_restrictions", "check_sender_access inline:{ { news@sender.test = REDIRECT y@b.test } }", "access-action", "bulk x@a.test"},
		{"prepend", "smtpd_sender_restrictions", "check_sender_access inline:{ { news@sender.test = PREPEND X-Millrace: no } }", "", "remote x@a.test"},
		{"discard", "smtpd_sender_restrictions", "check_sender_access inline:{ { news@sender.test = DISCARD } }", "", ""},
		{"replace", "header_checks", "static:{REPLACE X-Millrace: no}", "", "remote x@a.test"},
		{"policy", "smtpd_end_of_data_restrictions", "check_policy_service " + policy, "", "bulk x@a.test"},
		{"header", "header_checks", "static:{HOLD later}", "header-checks", "bulk x@a.test"},
		{"bcc", "always_bcc", "y@b.test", "bcc", "bulk x@a.test"},
		{"alias", "virtual_alias_maps", "inline:{ { x@a.test = y@b.test } }", "virtual-alias", "bulk x@a.test"},
		{"canonical", "recipient_canonical_maps", "inline:{ { x@a.test = y@b.test } }", "canonical-maps", "bulk x@a.test"},
		{"filter", "content_filter", "discard:", "content-filter", "bulk x@a.test"},
		{"protocol", "milter_protocol", "4", "milter-protocol", "remote x@a.test"},
		{"deferred", "defer_transports", "smtp", "defer-transports", "bulk x@a.test"},
		{"no milters", "receive_override_options", "no_milters", "milter-not-asked no-milters", "remote x@a.test"},
		{"macros", "milter_rcpt_macros", "i", "", "bulk x@a.test"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			apply(t, s, "-e", tt.setting+"="+tt.value)
			defer apply(t, s, "-X", tt.setting)
			got := slices.DeleteFunc(found(findings(t, s, s.Postfix.ConfigDir())), func(code string) bool {
				return code == "route-bypassed" // the scene's own relay host
			})
			if !slices.Equal(got, strings.Fields(tt.code)) {
				t.Errorf("found %q, want %q", got, tt.code)
			}
			if tt.arrives != "" {
				all[tt.arrives]++
			}
			submit(t, s.Addr(), "<news@sender.test>", []string{"<x@a.test>"}, []int{250}, bulkMessage(tt.name))
			expect(t, s, all)
		})
	}
}

// apply changes one setting of a running Postfix.
func apply(t *testing.T, s *Scene, flag, setting string) {
	t.Helper()
	if _, err := s.Postfix.Postconf(flag, setting); err != nil {
		t.Fatal(err)
	}
	if err := s.Postfix.Reload(); err != nil {
		t.Fatal(err)
	}
}

// TestCheckKnowsARunningMilter: spamass-milter is known by its command line, wherever its socket is, and is named only if it
// sends spam to somebody else. Where Debian's program is not installed, a shell with its command line stands in.
func TestCheckKnowsARunningMilter(t *testing.T) {
	s := beside(t, Options{Config: untouched, Main: map[string]string{"relayhost": ""}})
	for _, tt := range []struct {
		flags []string
		want  []string
	}{
		{[]string{"-u", "nobody"}, nil},
		{[]string{"-B", "spam@far.test"}, []string{"front-changes-envelope"}},
		{[]string{"-b", "spam@far.test"}, []string{"front-changes-envelope"}},
	} {
		addr, err := process.FreeAddr()
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ := strings.Cut(addr, ":")
		args := append([]string{"-p", "inet:" + port + "@127.0.0.1"}, tt.flags...)
		cmd := exec.Command("spamass-milter", args...)
		if cmd.Err != nil {
			cmd = exec.Command("sh")
			cmd.Args = append([]string{"spamass-milter", "-c", "kill -STOP $$"}, args...)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Postfix.Postconf("-e", "smtpd_milters=inet:"+addr+", $millrace_milter"); err != nil {
			t.Fatal(err)
		}
		if got := found(findings(t, s, s.Postfix.ConfigDir())); !slices.Equal(got, tt.want) {
			t.Errorf("spamass-milter %q: found %q, want %q", tt.flags, got, tt.want)
		}
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

// TestCheckOfTheSocket: Postfix works as a user who may not open a socket of root's, and the check says so.
func TestCheckOfTheSocket(t *testing.T) {
	s := beside(t, Options{Config: untouched, Main: map[string]string{"relayhost": ""}})
	path := s.Millrace.MilterSocket()
	if _, err := s.Postfix.Postconf("-e", "millrace_milter={ unix:"+path+", connect_timeout=2s, default_action=accept }"); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		mode os.FileMode
		want []string
	}{{0o660, []string{"milter-socket"}}, {0o666, nil}} {
		if err := os.Chmod(path, tt.mode); err != nil {
			t.Fatal(err)
		}
		if got := found(findings(t, s, s.Postfix.ConfigDir())); !slices.Equal(got, tt.want) {
			t.Errorf("mode %o: found %q, want %q", tt.mode, got, tt.want)
		}
	}
}

// answering is a policy server that gives every question one answer. It returns its address as Postfix writes it.
func answering(t *testing.T, answer string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() { // ends when the listener is closed
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() { // ends when Postfix hangs up
				defer nc.Close()
				lines := bufio.NewScanner(nc)
				for lines.Scan() {
					if lines.Text() == "" {
						fmt.Fprint(nc, answer)
					}
				}
			}()
		}
	}()
	return "inet:" + ln.Addr().String()
}

// TestCheckOnRealSendmail: contrib/sendmail has nothing but notes and the try of bounce.inject; what m4 makes of the usual
// features is found.
func TestCheckOnRealSendmail(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	for _, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"contrib", nil, ""},
		{"masquerading", []string{"MASQUERADE_AS(`example.org')dnl"}, "masquerade"},
		{"genericstable", []string{"FEATURE(`genericstable', `text -k0 -v1 -o /none')dnl"}, "generic-maps"},
		{"a filter behind", []string{"INPUT_MAIL_FILTER(`late', `S=inet:1@127.0.0.1')dnl"}, "milter-behind"},
	} {
		s := newScene(t, Options{Config: untouched})
		dir, err := s.mkdir("sendmail")
		if err != nil {
			t.Fatal(err)
		}
		f, err := mta.ReadSendmailFragment(filepath.Join(ContribDir, "sendmail"), s.Millrace.MilterSocket(), s.Millrace.inject)
		if err != nil {
			t.Fatal(err)
		}
		if s.Sendmail, err = mta.StartSendmail(dir, mta.SendmailConfig{Fragment: f, Lines: tt.lines}); err != nil {
			t.Fatal(err)
		}
		s.closers = append(s.closers, s.Sendmail.Stop)
		got := slices.DeleteFunc(found(findings(t, s, dir)), func(code string) bool { return code == "inject-refuses" })
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: found %q, want %q", tt.name, got, tt.want)
		}
	}
}
