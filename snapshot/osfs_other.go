//go:build !linux

package snapshot

import (
	"errors"
	"os"
)

// datasync syncs more than is needed, where fdatasync cannot be had.
func datasync(f *os.File) error { return f.Sync() }

// freeSpace cannot be had: an error names the whole size then.
func freeSpace(string) (int64, error) { return 0, errors.ErrUnsupported }

// reserveFile cannot be had: a full disk is then noticed at the write.
func reserveFile(*os.File, int64) error { return errors.ErrUnsupported }

// volatile knows no file system here.
func volatile(string) string { return "" }
