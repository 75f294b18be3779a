package snapshot

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

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
