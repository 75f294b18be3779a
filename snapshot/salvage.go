package snapshot

import (
	"errors"
	"fmt"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// Salvage makes a state directory usable again that Open refuses because a segment, or every snapshot, is missing or cannot
// be read. It keeps what can be read, and its report says what is lost. Files that cannot be read get names that end in
// ".unreadable"; none is deleted. A whole directory it leaves as a clean stop would. log may be nil.
//
// Salvage is never called by the daemon itself: some mail may be sent twice afterwards, and only a human can decide that, and
// look for the missing file first.
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
		if len(s.Nodes) == 0 { // its segment may be deleted before the next start could name it
			done = append(done, fmt.Sprintf("message %s from <%s> is done, and the MTA may offer it again", s.Message.Name(), s.Message.From()))
		}
		return nil
	})
	report.Notes = append(report.Notes, done...)
	// The snapshot that Close takes no longer names what is lost. After a failed recovery, Close takes none.
	return report, errors.Join(err, a.Close())
}
