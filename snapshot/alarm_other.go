//go:build !linux

package snapshot

import "errors"

// newKernelAlarm cannot be had.
func newKernelAlarm() (alarm, error) { return nil, errors.ErrUnsupported }
