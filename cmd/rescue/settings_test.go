package rescue

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// unstarted is a rescue of a Postfix that does not run, with this main.cf.
func unstarted(t *testing.T, main string) *Rescue {
	t.Helper()
	commands := "/usr/sbin"
	if path, err := exec.LookPath("postconf"); err == nil {
		commands = filepath.Dir(path)
	}
	if _, err := os.Stat(filepath.Join(commands, "postconf")); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip("Postfix is not installed: test/run installs it")
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"main.cf":   main,
		"master.cf": "# services\nsmtp      inet  n       -       y       -       -       smtpd\n    -o syslog_name=postfix/x\nrewrite   unix  -       -       y       -       -       trivial-rewrite",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o640); err != nil {
			t.Fatal(err)
		}
		ageFile(t, filepath.Join(dir, name))
	}
	return &Rescue{postfix: &postfix{dir: dir, commands: commands}, store: newStore(dir), hop: "inet:127.0.0.1:8896", door: "inet:127.0.0.1:8896"}
}

// ageFile makes a file a minute old: Postfix waits for a younger one.
func ageFile(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-time.Minute)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
}

// texts are the files that a rescue changes, with their modes.
func texts(t *testing.T, dir string) string {
	t.Helper()
	all := ""
	for _, name := range changed {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		info, _ := os.Stat(filepath.Join(dir, name))
		all += info.Mode().String() + "\n" + string(text)
	}
	return all
}

// begun takes the first steps of a rescue: 1 makes the store, 2 writes the record, 3 and 4 change a file each.
func begun(t *testing.T, r *Rescue, steps int) {
	t.Helper()
	if err := r.store.prepare(); err != nil {
		t.Fatal(err)
	}
	rec := &Record{Table: "texthash:" + filepath.Join(r.store.dir, tableName)}
	if err := r.edit(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if steps >= 2 {
		if err := r.store.commit(rec); err != nil {
			t.Fatal(err)
		}
	}
	for i := range steps - 2 {
		if ok, err := r.store.install(changed[i], after, before); !ok || err != nil {
			t.Fatalf("%v %v", ok, err)
		}
	}
}

// mains are main.cf files as people write them.
var mains = map[string]string{
	"none":         "myhostname = mx.example\n",
	"empty":        "transport_maps =\n",
	"one":          "transport_maps = hash:/etc/postfix/transport\n",
	"folded":       "# routes\ntransport_maps =\n\thash:/etc/postfix/transport,\n# in the middle\n\tinline:{ { a.example = smtp:[b.example] },\n\t\t{ c.example = slow: } }\n\nmyhostname = mx.example",
	"twice":        "transport_maps = hash:/a\nmyhostname = mx.example\ntransport_maps = hash:/b\n",
	"by name":      "my_maps = hash:/a\ntransport_maps = $my_maps, proxy:mysql:/b.cf\n",
	"odd spacing":  "transport_maps=hash:/a   \n  \n#\n\n",
	"carriage end": "myhostname = mx.example\n\n\n",
}

// TestPutBack: wherever a rescue breaks off, the files are byte for byte what they were when it is undone, also a second time.
func TestPutBack(t *testing.T) {
	for name, main := range mains {
		for steps := 1; steps <= 4; steps++ {
			if steps < 4 && name != "folded" {
				continue
			}
			r := unstarted(t, main)
			was := texts(t, r.store.config)
			begun(t, r, steps)
			if now := texts(t, r.store.config); steps == 4 && (!strings.Contains(now, "texthash:") || !strings.Contains(now, smtpdName)) {
				t.Fatalf("%s: the settings are not there: %s", name, now)
			}
			ageFile(t, filepath.Join(r.store.config, "main.cf"))
			for range 2 {
				if _, err := r.Undo(t.Context()); err != nil {
					t.Fatalf("%s, %d steps: %v", name, steps, err)
				}
				if now := texts(t, r.store.config); now != was {
					t.Errorf("%s, %d steps: put back\n%s\nwas\n%s", name, steps, now, was)
				}
			}
			if _, err := os.Stat(filepath.Join(r.store.dir, recordName)); err == nil {
				t.Errorf("%s, %d steps: the record is there still", name, steps)
			}
		}
	}
}

const smtpdName = "lmtp_lhlo_name=rescue.millrace.invalid"

// TestPutBackBesideOthers: what somebody has changed meanwhile stays, and our settings go.
func TestPutBackBesideOthers(t *testing.T) {
	for name, main := range mains {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := unstarted(t, main)
			value := func() string {
				out, err := exec.Command(filepath.Join(r.postfix.commands, "postconf"), "-c", r.store.config, "-h", "transport_maps").Output()
				if err != nil {
					t.Fatal(err)
				}
				return string(out)
			}
			was := value()
			begun(t, r, 4)
			ageFile(t, filepath.Join(r.store.config, "main.cf"))
			if now := value(); !strings.HasPrefix(now, "texthash:"+r.store.dir) || !strings.HasSuffix(now, was) {
				t.Errorf("%s: transport_maps is %q", name, now)
			}
			for _, name := range changed {
				f, err := os.OpenFile(filepath.Join(r.store.config, name), os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := f.WriteString("\n# by somebody else\n"); err != nil {
					t.Fatal(err)
				}
				f.Close()
				ageFile(t, filepath.Join(r.store.config, name))
			}
			var notes []string
			r.cfg.Tell = func(p Progress) { notes = append(notes, p.Note) }
			if _, err := r.Undo(t.Context()); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			now := texts(t, r.store.config)
			if strings.Contains(now, service) || strings.Contains(now, "texthash") || strings.Count(now, "# by somebody else") != 2 || value() != was {
				t.Errorf("%s: %s", name, now)
			}
			if len(notes) != 2 {
				t.Errorf("%s: notes %q", name, notes)
			}
		})
	}
}

// TestLink: a file of Postfix that is a link stays one.
func TestLink(t *testing.T) {
	r := unstarted(t, mains["one"])
	path, target := filepath.Join(r.store.config, "main.cf"), filepath.Join(t.TempDir(), "kept")
	if err := os.Rename(path, target); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	was := texts(t, r.store.config)
	begun(t, r, 4)
	if _, err := r.Undo(t.Context()); err != nil || texts(t, r.store.config) != was {
		t.Errorf("%v: %s", err, texts(t, r.store.config))
	}
	if got, err := os.Readlink(path); err != nil || got != target {
		t.Errorf("main.cf is no link any more: %v", err)
	}
}

// TestLock: one rescue of a Postfix at a time, and a second does not undo the first.
func TestLock(t *testing.T) {
	r := unstarted(t, mains["none"])
	unlock, err := r.store.lock()
	if err != nil {
		t.Fatal(err)
	}
	begun(t, r, 4)
	if _, err := r.Undo(t.Context()); err != ErrBusy {
		t.Errorf("undo beside a rescue: %v", err)
	}
	if rec, runs, err := r.State(); rec == nil || !runs || err != nil {
		t.Errorf("state beside a rescue: %v %v %v", rec, runs, err)
	}
	unlock()
	if rec, runs, err := r.State(); rec == nil || runs || err != nil {
		t.Errorf("state behind a rescue: %v %v %v", rec, runs, err)
	}
}

// TestLookAsksPostmap: the tables of Postfix are asked by its own program.
func TestLookAsksPostmap(t *testing.T) {
	r := unstarted(t, mains["none"])
	for table, want := range map[string]int{"inline:{ { a.example = smtp:[b.example] }, { c.example = slow: } }": 1, "texthash:" + filepath.Join(r.store.config, "none"): -1} {
		got, err := r.postfix.look(context.Background(), table, []string{"a.example", "x@a.example"})
		if (err != nil) != (want < 0) || err == nil && (len(got) != want || got["a.example"] != "smtp:[b.example]") {
			t.Errorf("%s: %v %v", table, got, err)
		}
	}
	if got, err := r.postfix.look(context.Background(), "inline:{ a=b }", []string{"c"}); err != nil || len(got) != 0 {
		t.Errorf("nothing found: %v %v", got, err)
	}
}
