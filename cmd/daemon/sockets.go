package daemon

import (
	"fmt"
	"iter"
	"net"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/smtpd"
)

// sockets are the open listeners of a daemon that is about to start. All are opened before anything runs, so that a port
// in use ends the start while there is nothing to stop.
type sockets struct {
	control net.Listener
	milter  []net.Listener
	smtpd   []smtpdListener

	open []listener // all of the above, as the configuration names them
}

// smtpdListener is a listener of the SMTP door with its role.
type smtpdListener struct {
	net.Listener
	role smtpd.Role
}

// listener is an open listener with its address in the configuration, which the next process finds it by.
type listener struct {
	net.Listener
	spec    string
	systemd bool // systemd has bound it, and keeps it open when we close it
}

// wanted is a socket that the configuration asks for.
type wanted struct {
	key, spec string
	bind      func() (net.Listener, error)
	use       func(net.Listener)
}

// wanted yields every socket of cfg: those of the doors, and the control socket behind them.
func (m Machine) wanted(cfg *config.Config, s *sockets) iter.Seq[wanted] {
	door := func(a *filter.Access, key, spec string) func() (net.Listener, error) {
		return func() (net.Listener, error) {
			ln, err := m.ListenDoor(a, spec)
			if err != nil {
				err = fmt.Errorf("%s: %w", key, err)
			}
			return ln, err
		}
	}
	return func(yield func(wanted) bool) {
		for _, spec := range cfg.Milter.Listen {
			use := func(ln net.Listener) { s.milter = append(s.milter, ln) }
			if !yield(wanted{"milter.listen", spec, door(&cfg.Milter.Access, "milter.listen", spec), use}) {
				return
			}
		}
		for role, spec := range cfg.SMTPD.Listeners() {
			use := func(ln net.Listener) { s.smtpd = append(s.smtpd, smtpdListener{ln, role}) }
			key := "smtpd." + role.String()
			if !yield(wanted{key, spec, door(&cfg.SMTPD.Access, key, spec), use}) {
				return
			}
		}
		bind := func() (net.Listener, error) { return m.ListenControl(cfg.Control) }
		yield(wanted{"control.socket", "unix:" + cfg.Control.Socket, bind, func(ln net.Listener) { s.control = ln }})
	}
}

// openSockets opens all or none. A socket that the process was given is used as it is, others are bound.
func (m Machine) openSockets(cfg *config.Config, log hclog.Logger) (*sockets, error) {
	s := &sockets{}
	var names []string
	for w := range m.wanted(cfg, s) {
		ln, err := m.obtain(w)
		if err != nil {
			s.closeAll()
			return nil, err
		}
		names = append(names, w.key+" "+w.spec)
		s.open = append(s.open, ln)
		w.use(ln.Listener)
	}
	if err := m.Given.spare(cfg.File, names, log); err != nil {
		s.closeAll()
		return nil, err
	}
	return s, nil
}

// obtain takes a socket out of those that the process was given, or binds it.
func (m Machine) obtain(w wanted) (listener, error) {
	ln, err := m.Given.claim(w.spec)
	if err != nil || ln.Listener != nil {
		return ln, err
	}
	bound, err := w.bind()
	return listener{Listener: bound, spec: w.spec}, err
}

// closeAll drops the errors of Close: the start has failed already, and its cause is the error to show.
func (s *sockets) closeAll() {
	for _, ln := range s.open {
		ln.Close()
	}
}
