package snapshot

import (
	"errors"
	"fmt"
)

var (
	// ErrLocked is returned by Open when another daemon uses the state directory.
	ErrLocked = errors.New("another daemon")
	// ErrVersion is returned when a file was written by a newer Millrace. Nothing was changed.
	ErrVersion = errors.New("written by a newer version")
	// ErrDamaged is returned when a file does not check. It is never used for a file of a newer version.
	ErrDamaged = errors.New("damaged")
	// ErrMissing is returned when a segment or the snapshot that must be there is not.
	ErrMissing = errors.New("missing")
	// ErrClosed is returned by Take after Close.
	ErrClosed = errors.New("journal is closed")
	// ErrBusy is returned by Take when the disk was so slow that the message did not even get into a commit.
	ErrBusy = errors.New("journal is behind")
	// ErrTooLarge is returned by Take for a message no segment may hold.
	ErrTooLarge = errors.New("message too large for the journal")
)

// DamageError is ErrDamaged with the place.
type DamageError struct {
	File string // relative to the state directory
	From int64  // first byte that does not check
	To   int64  // first byte that checks again; 0 when the whole file is meant
	Why  string
}

// Error implements error.
func (d *DamageError) Error() string {
	if d.To == 0 {
		return fmt.Sprintf("%s: damaged: %s", d.File, d.Why)
	}
	return fmt.Sprintf("%s: damaged: bytes %d to %d: %s", d.File, d.From, d.To, d.Why)
}

// Unwrap makes errors.Is(err, ErrDamaged) true.
func (d *DamageError) Unwrap() error { return ErrDamaged }
