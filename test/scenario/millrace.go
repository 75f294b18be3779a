package scenario

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/process"
)

// patience bounds everything that should take a moment.
const patience = 30 * time.Second

// Millrace is a daemon beside an MTA: it takes mail at a milter door and hands notifications and returned mail to
// the MTA's own listener.
type Millrace struct {
	*daemon.Daemon
	Milter string // host:port of the milter door; MilterSocket is another way in

	inject string // host:port of the MTA's listener for mail that Millrace hands in
}

// NewMillrace writes a configuration into dir; extra is appended to it. The daemon is not started yet.
func NewMillrace(bin, dir, inject, extra string) (*Millrace, error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	m := &Millrace{Daemon: daemon.New(bin, dir), Milter: addr, inject: inject}
	return m, m.Configure(fmt.Sprintf(`hostname = "millrace.test"
state_dir = %q
mode = "deliver"
milter.listen = ["inet:%s", "unix:%s"]
bounce.inject = %q
control.socket = %q
log.mail = %q
%s`, m.StateDir(), addr, m.MilterSocket(), daemon.NextHop(inject), m.Socket(), m.MailLogFile(), extra))
}

// MilterSocket is the path of the milter door's unix socket.
func (m *Millrace) MilterSocket() string { return filepath.Join(m.Dir, "milter.sock") }

// StateDir is the state directory.
func (m *Millrace) StateDir() string { return filepath.Join(m.Dir, "state") }

// Start starts the daemon and returns when it answers. It may still be recovering then: it leaves mail with the MTA
// until it has recovered.
func (m *Millrace) Start() error {
	if err := m.Daemon.Start(); err != nil {
		return err
	}
	return m.Answers()
}
