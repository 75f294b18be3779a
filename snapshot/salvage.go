package snapshot

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// Salvage makes a state directory usable again that Open refuses, because a segment or every snapshot is missing or
// cannot be read: it keeps what can be read, and says in its report what is lost. Files that cannot be read are set aside,
// under names that end in ".bad", never deleted. It is a human's decision about one directory, with the daemon stopped;
// one that is whole it leaves as a clean stop would. log may be nil.
func Salvage(dir string, log hclog.Logger) (Report, error) {
	cfg := DefaultConfig()
	cfg.salvage = true
	a, err := Open(dir, cfg, log)
	if err != nil {
		return Report{}, err
	}
	report, err := a.Recover(func(relay.Saved) error { return nil })
	// The snapshot that Close takes no longer names what is lost. Without a whole recovery none is taken.
	return report, errors.Join(err, a.Close())
}

// setAsideBad gives the segments that cannot be read other names.
func (a *Agent) setAsideBad() error {
	for i := range a.found.segments {
		s := &a.found.segments[i]
		if s.bad == nil {
			continue
		}
		what, err := a.setAside(s)
		if err != nil {
			return err
		}
		a.found.missing = append(a.found.missing, what)
	}
	return nil
}

// setAside gives a segment that cannot be read another name, forgets it, and returns what to say of it.
func (a *Agent) setAside(s *found) (string, error) {
	name, aside := segmentName(s.head.number), numbered(journalDir, s.head.number, damageExt)
	if err := a.fs.Rename(name, aside); err != nil {
		return "", err
	}
	a.mu.Lock()
	delete(a.segs, s.head.number)
	a.mu.Unlock()
	return fmt.Sprintf("%s (set aside as %s: %v)", name, aside, s.bad), a.fs.SyncDir(journalDir)
}
