package format

import (
	"errors"
	"fmt"
)

var (
	// ErrVersion is returned when a file was written by a newer Millrace. It is never returned for damage, because the
	// remedy differs: a newer program reads the file, and a salvage would destroy it.
	ErrVersion = errors.New("written by a newer version")
	// ErrDamaged is returned when bytes do not match their checksum or their place. It is never returned for a file of a
	// newer version.
	ErrDamaged = errors.New("damaged")
	// ErrMalformed is returned when a record matches its checksum and still makes no sense. Only a fault of this program,
	// or of the memory it was built in, writes such a record.
	ErrMalformed = errors.New("malformed record")
)

// DamageError is ErrDamaged with the place.
type DamageError struct {
	File string // relative to the state directory
	From int64  // first damaged byte
	To   int64  // first sound byte after it; 0 when the whole file is meant
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
