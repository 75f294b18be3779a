//go:build !linux

package smtp

import "syscall"

// bindLate does nothing here: only Linux can choose the source port late.
func bindLate(string, string, syscall.RawConn) error { return nil }
