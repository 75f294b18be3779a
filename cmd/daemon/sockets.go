package daemon

import (
	"fmt"
	"net"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter/smtpd"
)

// sockets are the open listeners of a daemon that is about to start. All are opened before anything runs, so that a port
// in use ends the start while there is nothing to stop.
type sockets struct {
	control net.Listener
	milter  []net.Listener
	smtpd   []smtpdListener
}

// smtpdListener is a listener of the SMTP door with its role.
type smtpdListener struct {
	net.Listener
	role smtpd.Role
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
		s.milter = append(s.milter, ln)
	}
	for role, spec := range cfg.SMTPD.Listeners() {
		ln, err := m.ListenDoor(&cfg.SMTPD.Access, spec)
		if err != nil {
			s.closeAll()
			return nil, fmt.Errorf("smtpd.%s: %w", role, err)
		}
		s.smtpd = append(s.smtpd, smtpdListener{ln, role})
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
	for _, ln := range s.milter {
		ln.Close()
	}
	for _, ln := range s.smtpd {
		ln.Close()
	}
	if s.control != nil {
		s.control.Close()
	}
}
