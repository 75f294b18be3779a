package daemon

import (
	"fmt"
	"net"

	"github.com/millrace/millrace/cmd/config"
)

// sockets are the open listeners of a daemon that is about to start. All are opened before anything runs, so that a port
// in use ends the start while there is nothing to stop.
type sockets struct {
	control net.Listener
	doors   []net.Listener
}

// openSockets opens all or none.
func (m Machine) openSockets(cfg *config.Config) (*sockets, error) {
	s := &sockets{}
	for _, spec := range cfg.Milter.Listen {
		ln, err := m.ListenDoor(&cfg.Milter.Access, spec)
		if err != nil {
			s.closeAll()
			return nil, fmt.Errorf("milter.listen: %w", err)
		}
		s.doors = append(s.doors, ln)
	}
	ln, err := m.ListenControl(cfg.Control)
	if err != nil {
		s.closeAll()
		return nil, err
	}
	s.control = ln
	return s, nil
}

// closeAll drops the errors of Close: the start has failed already, and its cause is the error to show.
func (s *sockets) closeAll() {
	for _, ln := range append(s.doors, s.control) {
		if ln != nil {
			ln.Close()
		}
	}
}
