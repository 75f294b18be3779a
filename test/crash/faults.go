package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/millrace/millrace/test/daemon"
)

// faultEnv is the environment variable that wakes one of the faults built into a daemon.
const faultEnv = "MILLRACE_SEEDED_FAULT"

// edit is a change of the daemon's source. The place is found by its text, which must stand there exactly once, so that
// the harness fails when the source has changed and the fault may have become meaningless.
type edit struct {
	file     string // below the module's root
	old, new string
}

// seeded is the file that is added to each package with a fault in it.
const seeded = `package %s

import "os"

var seededFault = os.Getenv("` + faultEnv + `")
`

// fault is a mistake that could be made in the daemon, and the part of a mode that must notice it.
type fault struct {
	name  string
	edits []edit
	catch func(r *run, o options) (Result, error)
}

// faults returns the twelve faults.
func faults() []fault {
	return []fault{
		{"ack before fsync", []edit{{
			"snapshot/tape.go", "if t.cfg.Ack != AckJournal {\n\t\tt.book.answer(b)", "if t.cfg.Ack != AckJournal || seededFault == \"ack before fsync\" {\n\t\tt.book.answer(b)",
		}}, catchAtSync},
		{"no directory fsync", []edit{{
			"snapshot/tape.go", "\tif err == nil {\n\t\terr = t.fs.SyncDir(journalDir)\n", "\tif err == nil && seededFault != \"no directory fsync\" {\n\t\terr = t.fs.SyncDir(journalDir)\n",
		}}, catchByModel},
		{"no CRC", []edit{{
			"snapshot/format/frame.go", "binary.BigEndian.Uint32(b[12:]) != frameSum(b[:n], from.Seed)", "seededFault != \"no CRC\" && binary.BigEndian.Uint32(b[12:]) != frameSum(b[:n], from.Seed)",
		}}, catchByDamage},
		{"fsync retried", []edit{{
			"snapshot/tape.go", "if err := t.seg.file.Sync(); err != nil {\n\t\tt.seg.broken = true",
			"err := t.seg.file.Sync()\n\tif err != nil && seededFault == \"fsync retried\" {\n\t\terr = t.seg.file.Sync()\n\t}\n\tif err != nil {\n\t\tt.seg.broken = true",
		}}, catchByError},
		{"tail not cut", []edit{{
			"snapshot/segmentread.go", "if int64(len(sc.Data)) > sc.End {", "if int64(len(sc.Data)) > sc.End && seededFault != \"tail not cut\" {",
		}}, catchByDamage},
		{"trimmed before the snapshot is durable", []edit{{
			"snapshot/keeper.go", "\terr := k.insist(p)\n",
			"\tif seededFault == \"trimmed before the snapshot is durable\" {\n\t\tfor _, n := range p.finished {\n\t\t\tk.fs.Remove(segmentName(n))\n\t\t}\n\t\tk.fs.SyncDir(journalDir)\n\t}\n\terr := k.insist(p)\n",
		}}, catchAtSnapshot},
		{"outcome before the 250", []edit{{
			"relay/visit.go", "\treturn h.newVisit(n)\n",
			"\tif seededFault == \"outcome before the 250\" {\n\t\tfor _, i := range n.Rcpts() {\n\t\t\th.queues.deps.Journal.Event(&Event{Kind: EventSettled, Outcome: Sent, Message: n.Message, Node: n, Rcpt: i})\n\t\t}\n\t}\n\treturn h.newVisit(n)\n",
		}}, catchByKill},
		{"replay not idempotent", []edit{{
			"snapshot/recovery.go", "\t\t\t\t\ts.done.Set(position + i)\n",
			"\t\t\t\t\tif p := position + i; !s.done.Set(p) && seededFault == \"replay not idempotent\" {\n\t\t\t\t\t\ts.done[p/64] &^= 1 << (p % 64)\n\t\t\t\t\t}\n",
		}}, catchByKill},
		{"no lock", []edit{{
			"snapshot/dirlock.go", "if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {",
			"if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil && seededFault != \"no lock\" {",
		}}, catchByIntruder},
		{"lying fsync", nil, catchByLie},
		{"log written late", []edit{{
			"snapshot/writer.go", "if w.precede != nil && len(b.marks) > 0 {", "if w.precede != nil && len(b.marks) > 0 && seededFault != \"log written late\" {",
		}}, catchBySums},
		{"counted beside the commit", []edit{{
			"snapshot/counting.go", "if !c.counts() || blocked {", "if !c.counts() || blocked || seededFault == \"counted beside the commit\" {",
		}}, catchBySums},
	}
}

// buildFaulty compiles a daemon with all faults built in. Each fault sleeps until faultEnv names it.
func buildFaulty(dir, root string) (string, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	files := make(map[string]string) // changed source text, by path below root
	for _, f := range faults() {
		for _, e := range f.edits {
			if err := e.apply(root, files); err != nil {
				return "", fmt.Errorf("seeded fault %q: %w", f.name, err)
			}
		}
	}
	overlay, err := writeOverlay(dir, root, files)
	if err != nil {
		return "", err
	}
	return daemon.Build(dir, "-overlay", overlay)
}

// overlayOf is the path of the overlay that buildFaulty writes into dir.
func overlayOf(dir string) string { return filepath.Join(dir, "overlay.json") }

// apply makes the change in files, which it fills from root.
func (e edit) apply(root string, files map[string]string) error {
	text, ok := files[e.file]
	if !ok {
		b, err := os.ReadFile(filepath.Join(root, e.file))
		if err != nil {
			return err
		}
		text = string(b)
		pkg := filepath.Dir(e.file)
		files[filepath.Join(pkg, "seeded_fault.go")] = fmt.Sprintf(seeded, filepath.Base(pkg))
	}
	if n := strings.Count(text, e.old); n != 1 {
		return fmt.Errorf("%s must hold this text once, and holds it %d times: %s", e.file, n, e.old)
	}
	files[e.file] = strings.Replace(text, e.old, e.new, 1)
	return nil
}

// writeOverlay writes the changed files and the file for go build -overlay, whose path it returns.
func writeOverlay(dir, root string, files map[string]string) (string, error) {
	replace := make(map[string]string, len(files))
	for name, text := range files {
		changed := filepath.Join(dir, strings.ReplaceAll(name, "/", "_"))
		if err := os.WriteFile(changed, []byte(text), 0o600); err != nil {
			return "", err
		}
		replace[filepath.Join(root, name)] = changed
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := overlayOf(dir)
	return overlay, os.WriteFile(overlay, text, 0o600)
}

// moduleRoot is the directory of the daemon's source.
func moduleRoot() (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
