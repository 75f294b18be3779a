package mta

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
)

// settings returns everything that is not default in p: the words of main.cf and of master.cf with its options.
func settings(t *testing.T, p *Postfix) string {
	t.Helper()
	var all strings.Builder
	for _, flag := range []string{"-n", "-M", "-P"} {
		text, err := p.Postconf(flag)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(text) {
			all.WriteString(strings.Join(strings.Fields(line), " ") + "\n")
		}
	}
	return all.String()
}

// commands returns the sh blocks below a heading of contrib/postfix/README.md.
func commands(t *testing.T, heading string) []string {
	t.Helper()
	return blocks(t, "README.md", heading)
}

// blocks returns the sh blocks below a heading of a page of contrib/postfix.
func blocks(t *testing.T, page, heading string) []string {
	t.Helper()
	blocks, err := Commands(filepath.Join(contrib, page), heading)
	if err != nil {
		t.Fatal(err)
	}
	return blocks
}

// shell runs commands as an administrator of p would.
func shell(t *testing.T, p *Postfix, commands string) {
	t.Helper()
	if err := p.Shell(commands); err != nil {
		t.Fatal(err)
	}
}

// edit is shell for a Postfix that does not run: its reload succeeds.
func edit(t *testing.T, p *Postfix, commands string) {
	t.Helper()
	shell(t, p, "postfix() { [ \"$1\" = reload ]; }\n"+commands)
}

// TestReadmeIsTheFragment follows README.md on one Postfix and applies the files to another: the settings must be the
// same. All this with another milter in front and without one.
func TestReadmeIsTheFragment(t *testing.T) {
	for _, milters := range [][]string{nil, {"inet:127.0.0.1:8891"}} {
		t.Run(strings.Join(milters, ","), func(t *testing.T) {
			byHand := startPostfix(t, PostfixConfig{Milters: milters})
			back := awayAddr(t)
			shell(t, byHand, strings.ReplaceAll(commands(t, "Add it")[0], "127.0.0.1:10026", back))
			byFile := startPostfix(t, PostfixConfig{Milters: milters, Fragment: readContrib(t).Replace("127.0.0.1:10026", back)})
			place := strings.NewReplacer(byFile.Dir, byHand.Dir, byFile.Addr, byHand.Addr)
			if hand, file := settings(t, byHand), place.Replace(settings(t, byFile)); hand != file {
				t.Errorf("by README.md:\n%s\nby main.cf and master.cf:\n%s", hand, file)
			}
			if err := byHand.master.Ended(); err != nil {
				t.Error(err)
			}
		})
	}
}

// sites are lines that a main.cf may have when Millrace is added. usual: postconf writes them the same way.
var sites = []struct {
	name, lines string
	usual       bool
}{
	{"no milters", "", true},
	{"no milters, in a line", "smtpd_milters =\n", false},
	{"milters", "smtpd_milters = inet:127.0.0.1:8891\n", true},
	{"milters in many forms", "smtpd_milters=inet:127.0.0.1:8891,\n# a comment\n\t{ inet:127.0.0.1:8892, default_action=accept }  \n", false},
	{"sendmail(1) too", "smtpd_milters = inet:127.0.0.1:8891\nnon_smtpd_milters = $smtpd_milters\n", true},
	{"sendmail(1) too, by another form", "non_smtpd_milters = ${smtpd_milters} inet:127.0.0.1:8892\nsmtpd_milters = inet:127.0.0.1:8891\n", true},
	{"settings of ours before", "enable_long_queue_ids = yes\n", true},
	{"other values before", "enable_long_queue_ids = no\n", true},
	{"no newline at the end", "smtpd_milters = inet:127.0.0.1:8891\nsoft_bounce = yes", false},
}

// configuration is main.cf and master.cf of p, and every other name in their directory.
func configuration(t *testing.T, p *Postfix) string {
	t.Helper()
	entries, err := os.ReadDir(p.ConfigDir())
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		text, _ := os.ReadFile(filepath.Join(p.ConfigDir(), e.Name())) // a directory counts by its name
		all.WriteString("== " + e.Name() + "\n" + string(text))
	}
	return all.String()
}

// appendTo adds text at the end of a file in the configuration of p. The file counts as old: see edit.
func appendTo(t *testing.T, p *Postfix, name, text string) {
	t.Helper()
	path := filepath.Join(p.ConfigDir(), name)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before = bytes.Replace(before, []byte("smtpd_milters = \n"), nil, 1) // all that writeMain says about milters
	past := time.Now().Add(-time.Minute)
	if err := errors.Join(os.WriteFile(path, append(before, text...), 0o644), os.Chtimes(path, past, past)); err != nil {
		t.Fatal(err)
	}
}

// atSite makes the configuration of a Postfix whose main.cf ends with these lines.
func atSite(t *testing.T, lines string) *Postfix {
	t.Helper()
	Require(t, PostfixPart)
	dir := t.TempDir()
	p := &Postfix{Dir: dir, etc: filepath.Join(dir, "etc"), listeners: map[string]string{}}
	if err := errors.Join(os.Mkdir(p.etc, 0o755), p.writeMain(), p.writeMaster()); err != nil {
		t.Fatal(err)
	}
	appendTo(t, p, "main.cf", lines)
	appendTo(t, p, "master.cf", "")
	return p
}

// TestUndo runs the commands of README.md and then its undo: both files are byte for byte what they were. The commands
// may run twice, and once more after the undo.
func TestUndo(t *testing.T) {
	for _, site := range sites {
		t.Run(site.name, func(t *testing.T) {
			p := atSite(t, site.lines)
			before := configuration(t, p)
			for _, times := range []int{2, 1} {
				for range times {
					edit(t, p, commands(t, "Add it")[0])
				}
				if configuration(t, p) == before {
					t.Fatal("the commands change nothing")
				}
				checkMilters(t, p)
				edit(t, p, commands(t, "Take it away again")[0])
				if after := configuration(t, p); after != before {
					t.Errorf("undone:\n%s\nbefore:\n%s", after, before)
				}
			}
		})
	}
}

// checkMilters checks that Millrace is the last milter of SMTP mail and none of other mail.
func checkMilters(t *testing.T, p *Postfix) {
	t.Helper()
	smtp, err := p.Postconf("-xh", "smtpd_milters")
	if err != nil || strings.Count(smtp, "millrace/milter.sock") != 1 || !strings.HasSuffix(strings.TrimSpace(smtp), "accept }") {
		t.Errorf("smtpd_milters = %s, %v", smtp, err)
	}
	other, err := p.Postconf("-xh", "non_smtpd_milters")
	if err != nil || strings.Contains(other, "milter.sock") {
		t.Errorf("non_smtpd_milters = %s, %v", other, err)
	}
}

// TestUndoAfterAChange: if somebody has changed the files since, the first block of the undo leaves them, and the second
// takes out what is Millrace's.
func TestUndoAfterAChange(t *testing.T) {
	for _, site := range sites {
		t.Run(site.name, func(t *testing.T) {
			p := atSite(t, site.lines)
			edit(t, p, commands(t, "Add it")[0])
			plain := atSite(t, site.lines)
			for _, p := range []*Postfix{p, plain} {
				appendTo(t, p, "main.cf", "\n# since\nmynetworks_style = host\n")
				appendTo(t, p, "master.cf", "spare unix - - n - - smtp\n")
			}
			changed := configuration(t, p)
			undo := commands(t, "Take it away again")
			edit(t, p, undo[0])
			if configuration(t, p) != changed {
				t.Fatal("the first block does not leave changed files alone")
			}
			edit(t, p, undo[1])
			place := strings.NewReplacer(plain.Dir, p.Dir, plain.Addr, p.Addr)
			want, got := place.Replace(settings(t, plain)), settings(t, p)
			if site.usual {
				want, got = place.Replace(configuration(t, plain)), configuration(t, p)
			}
			if strings.Replace(want, "smtpd_milters =\n", "", 1) != got { // an empty value says the same as no line
				t.Errorf("undone:\n%s\nwithout Millrace:\n%s", got, want)
			}
		})
	}
}

// TestUndoOfLayouts: after the commands of FILTERS.md and their undo, and the undo of README.md, Postfix's settings are what
// they were.
func TestUndoOfLayouts(t *testing.T) {
	undo := commands(t, "Take it away again")[1]
	away := blocks(t, "FILTERS.md", "Take a layout away")
	for i, layout := range []string{"A listener for bulk", "Behind the content filter"} {
		for _, options := range []string{"", " -o receive_override_options=no_header_body_checks,no_milters -o smtpd_milters="} {
			t.Run(layout+options, func(t *testing.T) {
				p := atSite(t, "smtpd_milters = inet:127.0.0.1:8891\n")
				appendTo(t, p, "master.cf", "127.0.0.1:10025 inet n - n - - smtpd -o content_filter="+options+"\n")
				before := settings(t, p)
				for _, block := range []string{commands(t, "Add it")[0], blocks(t, "FILTERS.md", layout)[0], away[i], undo} {
					edit(t, p, block)
				}
				if after := settings(t, p); after != before {
					t.Errorf("undone:\n%s\nbefore:\n%s", after, before)
				}
			})
		}
	}
}

// TestLongQueueIDs: with contrib/postfix a queue id never comes twice. Long ids are longer than any short one.
func TestLongQueueIDs(t *testing.T) {
	p := startPostfix(t, PostfixConfig{Relay: awayAddr(t), Fragment: readContrib(t).Replace("127.0.0.1:10026", awayAddr(t))})
	report, err := load.Run(t.Context(), load.Config{Addr: p.Addr, Messages: 1})
	if err != nil || report.Acked() != 1 {
		t.Fatalf("%+v, %v", report.Records, err)
	}
	if queue, err := p.Queue(); err != nil || len(queue) != 1 || len(queue[0].ID) < 13 {
		t.Errorf("queue %+v, %v", queue, err)
	}
}

// TestLocalMailIsNotOffered: at a site with non_smtpd_milters = $smtpd_milters, Millrace is offered what comes by SMTP, and
// not the mail of sendmail(1).
func TestLocalMailIsNotOffered(t *testing.T) {
	far, remote, _ := farEnd(t)
	d := startDiscarder(t)
	p := startPostfix(t, PostfixConfig{Relay: remote, Main: map[string]string{"non_smtpd_milters": "$smtpd_milters"}})
	shell(t, p, strings.NewReplacer("127.0.0.1:10026", awayAddr(t), "unix:millrace/milter.sock", "inet:"+d.ln.Addr().String()).Replace(commands(t, "Add it")[0]))
	local := exec.Command(lookup("sendmail"), "-C", p.ConfigDir(), "-f", "cron@sender.test", "local@far.test")
	local.Env = append(os.Environ(), "MAIL_CONFIG="+p.ConfigDir())
	local.Stdin = strings.NewReader("Subject: by sendmail(1)\n\nHello.\n")
	if _, err := run(local); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the mail of sendmail(1) arrived", func() bool { return far.Count() == 1 })
	if n := d.taken.Load(); n != 0 {
		t.Errorf("%d messages of sendmail(1) were offered", n)
	}
	report, err := load.Run(t.Context(), load.Config{Addr: p.Addr, Messages: 1})
	if err != nil || report.Acked() != 1 || d.taken.Load() != 1 {
		t.Errorf("of one message by SMTP %d were offered, %v", d.taken.Load(), err)
	}
}
