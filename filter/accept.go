package filter

import (
	"errors"
	"net"
	"time"
)

// acceptPause bounds the wait after a failed Accept. As a rule Accept fails for want of file descriptors.
const acceptPause = time.Second

// AcceptAll gives each connection of ln to welcome, until the door is stopping: then it returns nil. It returns an error only when
// somebody else has closed the listener.
func (in *Intake) AcceptAll(ln net.Listener, stopping func() bool, welcome func(net.Conn)) error {
	pause := time.Duration(0)
	for {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			welcome(nc)
		case stopping():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			in.Warn("accepting a connection", "error", err)
			pause = min(max(2*pause, 5*time.Millisecond), acceptPause)
			time.Sleep(pause)
		}
	}
}
