package snapshot

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// asideExt is of files that cannot be read and that Salvage has set aside. Nobody reads or deletes them.
const asideExt = ".unreadable"

// Salvage makes a state directory usable again that Open refuses, because a segment or every snapshot is missing or
// cannot be read: it keeps what can be read, and says in its report what is lost. Files that cannot be read are set aside,
// under names that end in ".unreadable", never deleted. It is a human's decision about one directory, with the daemon
// stopped; one that is whole it leaves as a clean stop would. log may be nil.
func Salvage(dir string, log hclog.Logger) (Report, error) {
	v, err := look(osFS{dir}, true)
	if err == nil && v.fresh && len(v.segments) == 0 {
		err = errors.New("holds neither journal nor snapshots")
	}
	if err != nil {
		return Report{}, stateError(dir, err)
	}
	cfg := DefaultConfig()
	cfg.salvage = true
	a, err := Open(dir, cfg, log)
	if err != nil {
		return Report{}, err
	}
	var done []string
	report, err := a.Recover(func(s relay.Saved) error {
		if len(s.Nodes) == 0 { // its segment may be deleted before anybody else could tell
			done = append(done, fmt.Sprintf("message %s from <%s> is done, and the MTA may offer it again", s.Message.Name(), s.Message.From))
		}
		return nil
	})
	report.Notes = append(report.Notes, done...)
	// The snapshot that Close takes no longer names what is lost. Without a whole recovery none is taken.
	return report, errors.Join(err, a.Close())
}

const knownInPart = "who had his message is known in part only: some may get theirs again"

// setAsideBad gives files that cannot be read other names, and notes what follows from that.
func (a *Agent) setAsideBad() error {
	v := a.found
	for i := range v.segments {
		s := &v.segments[i]
		if s.bad == nil {
			continue
		}
		what, err := a.setAside(s)
		if err != nil {
			return err
		}
		v.missing = append(v.missing, what)
	}
	for _, n := range v.badSnaps {
		if err := a.fs.Rename(numbered(snapshotDir, n, snapshotExt), numbered(snapshotDir, n, asideExt)); err != nil {
			return err
		}
	}
	if len(v.missing) > 0 || v.snap.Head.Number == 0 {
		v.notes = append(v.notes, knownInPart)
	}
	if len(v.badSnaps) > 0 {
		return a.fs.SyncDir(snapshotDir)
	}
	return nil
}

// setAside gives a segment that cannot be read another name, forgets it, and returns what to say of it.
func (a *Agent) setAside(s *found) (string, error) {
	name, aside := segmentName(s.head.Number), numbered(journalDir, s.head.Number, asideExt)
	if err := a.fs.Rename(name, aside); err != nil {
		return "", err
	}
	a.mu.Lock()
	delete(a.segs, s.head.Number)
	a.mu.Unlock()
	return fmt.Sprintf("%s (set aside as %s: %v)", name, aside, s.bad), a.fs.SyncDir(journalDir)
}
