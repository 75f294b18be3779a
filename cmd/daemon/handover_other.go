//go:build !linux

package daemon

import (
	"errors"
	"os"
)

// nameless makes a file that no directory names.
func nameless(name string) (*os.File, error) {
	f, err := os.CreateTemp("", name)
	if err != nil {
		return nil, err
	}
	if err := os.Remove(f.Name()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
