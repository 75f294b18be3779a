package snapshot

import (
	"fmt"
	"slices"
	"strings"

	"github.com/millrace/millrace/snapshot/format"
)

// quarantine keeps the bytes that do not match their checksums in a file of their own, for a human: cutting the tail off
// destroys them. A crash during recovery has the next start find the same bytes; the file of the first time is kept. A
// failure is only logged, because a full disk must not keep the daemon from delivering.
func (r *recovery) quarantine(number uint64, sc *format.Scan) {
	var b []byte
	for _, g := range sc.Gaps {
		b = fmt.Appendf(b, "%s bytes %d to %d\n", g.File, g.From, g.To)
		b = append(append(b, sc.Data[g.From:min(g.To, int64(len(sc.Data)))]...), '\n')
	}
	ext := tornExt
	if len(sc.Damage) > 0 {
		ext = damageExt
	}
	name := numbered(journalDir, number, ext)
	err := writeFile(r.fs, name, b)
	if err == nil {
		err = r.trimTorn()
	}
	if err != nil && !isExist(err) {
		r.log.Warn("damaged bytes could not be kept aside", "file", name, "error", err)
	}
}

// maxTorn bounds the number of files of torn tails, because each crash may leave one. Files of damage have no bound: each
// of them is a fault of the disk that somebody has to see.
const maxTorn = 16

// trimTorn deletes the oldest files of torn tails.
func (r *recovery) trimTorn() error {
	names, err := r.fs.List(journalDir)
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, tornExt) })
	for ; err == nil && len(names) > maxTorn; names = names[1:] {
		err = r.fs.Remove(journalDir + "/" + names[0])
	}
	return err
}
