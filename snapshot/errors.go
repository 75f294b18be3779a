package snapshot

import (
	"errors"

	"github.com/millrace/millrace/snapshot/format"
)

var (
	// ErrLocked is returned by Open when another daemon uses the state directory.
	ErrLocked = errors.New("another daemon")
	// ErrVersion is returned when a file was written by a newer Millrace. Nothing was changed.
	ErrVersion = format.ErrVersion
	// ErrDamaged is returned when a file does not match its checksums. It is never returned for a file of a newer version.
	ErrDamaged = format.ErrDamaged
	// ErrMissing is returned when a segment or the snapshot that must be there is not.
	ErrMissing = errors.New("missing")
	// ErrClosed is returned by Take, Store, Flush and WriteSnapshot after Close.
	ErrClosed = errors.New("journal is closed")
	// ErrBusy is returned by Take while a commit is overdue: the disk has not answered for 2 s. It is returned at once to new
	// takes, soon to all but 20 of those that wait, and to these after 20 s. The MTA keeps the message.
	ErrBusy = errors.New("journal is behind")
	// ErrTooLarge is returned by Take for a message that no segment can hold: over 1 GiB.
	ErrTooLarge = errors.New("message too large for the journal")
)
