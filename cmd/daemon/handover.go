package daemon

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/millrace/millrace/filter"
)

const (
	// visitTime is how long deliveries under way are waited for. The doors serve meanwhile.
	visitTime = 20 * time.Second
	// doorTime is how long messages under way are waited for, once the doors have begun to hand over. Meanwhile nobody answers on the
	// connections that are idle, and Postfix waits for 30 seconds (milter_command_timeout) before it gives up.
	doorTime = 10 * time.Second
	// consoleTime is for the commands that are being answered.
	consoleTime = 2 * time.Second
)

// HandOver stops the daemon as Stop does, but keeps its listeners and the open connections of its clients, and returns them for the
// next process. Deliveries under way finish first, and the doors serve meanwhile. Then nobody serves until the next process does; so
// this takes no longer than the messages under way need. Each step has its own time, and ctx cuts all of them short.
//
// When nothing can be handed over HandOver returns nil and the reason, and the daemon goes on. Otherwise it has stopped, and the
// error says what the stop met.
func (d *Daemon) HandOver(ctx context.Context) (*Given, error) {
	g, err := d.sockets.duplicate()
	if err != nil {
		return nil, err
	}
	if d.machine.Given != nil {
		g.Handovers = d.machine.Given.Handovers
	}
	g.Handovers++
	d.log.Info("handing over: deliveries under way finish first")
	d.setReady(false)
	visits, cut := context.WithTimeout(ctx, visitTime)
	defer cut()
	d.pool.Stop(visits)
	soon, cancel := context.WithTimeout(ctx, doorTime)
	defer cancel()
	err = d.handOverDoors(soon, g)
	short, done := context.WithTimeout(ctx, consoleTime)
	defer done()
	err = d.stopRest(short, err)
	d.log.Info("handing over", "listeners", len(g.listeners), "connections", len(g.conns))
	return g, err
}

// handOverDoors puts the connections of all doors into g.
func (d *Daemon) handOverDoors(ctx context.Context, g *Given) error {
	var wg sync.WaitGroup
	var first, second []filter.Handed
	var err, err2 error
	wg.Go(func() { first, err = d.door.HandOver(ctx) }) // ends with ctx
	if d.smtpd != nil {
		wg.Go(func() { second, err2 = d.smtpd.door.HandOver(ctx) }) // likewise
	}
	wg.Wait()
	err = errors.Join(err, err2)
	for _, h := range first {
		err = errors.Join(err, g.add("milter", h))
	}
	for _, h := range second {
		err = errors.Join(err, g.add("smtpd", h))
	}
	return err
}

// resume goes on with the connections that the process before has handed over of that door.
func (d *Daemon) resume(door string) {
	g := d.machine.Given
	if g == nil {
		return
	}
	for _, c := range g.conns {
		if c.door != door {
			continue
		}
		nc, err := net.FileConn(c.file)
		c.file.Close()
		if err == nil {
			err = d.resumeAt(c.door, filter.Handed{Conn: nc, State: c.state})
		}
		if err != nil {
			d.log.Warn("a connection that was handed over is lost", "door", door, "error", err)
		}
	}
}

// resumeAt gives a connection to its door.
func (d *Daemon) resumeAt(door string, h filter.Handed) error {
	switch {
	case door == "milter":
		return d.door.Resume(h)
	case door == "smtpd" && d.smtpd != nil:
		return d.smtpd.door.Resume(h)
	}
	return errors.Join(errors.New("there is no such door any more"), h.Conn.Close())
}

// duplicate makes duplicates of the listeners, so that they stay open when their parts close them. A unix socket keeps its file.
func (s *sockets) duplicate() (*Given, error) {
	g := &Given{}
	for _, l := range s.open {
		f, err := fileOf(l.Listener)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("%s: %w", l.spec, err), g.Close())
		}
		g.listeners = append(g.listeners, givenListener{f, l.spec, l.systemd})
	}
	for _, l := range s.open {
		if u, ok := l.Listener.(*net.UnixListener); ok {
			u.SetUnlinkOnClose(false)
		}
	}
	return g, nil
}

// handoverEnv has the number of the descriptor of an estate.
const handoverEnv = "MILLRACE_HANDOVER"

// ErrHandover is returned when a process cannot read what the process before has handed over. Its sockets are lost with it: the next
// start binds them anew.
var ErrHandover = errors.New("what the process before has handed over cannot be read")

// estate is a Given on its way to the next process: JSON in a file without a name.
type estate struct {
	Listeners []estateListener `json:"listeners"`
	Conns     []estateConn     `json:"conns,omitempty"`
	Handovers int              `json:"handovers"`
}

type estateListener struct {
	FD      int    `json:"fd"`
	Spec    string `json:"spec"`
	Systemd bool   `json:"systemd,omitempty"`
}

type estateConn struct {
	FD    int    `json:"fd"`
	Door  string `json:"door"`
	State []byte `json:"state"`
}

// Export makes the descriptors of g outlive an exec, and returns the environment variable by which Receive finds them there.
// Descriptors keep their numbers: one that was put onto another's number would close that one.
func (g *Given) Export() (env string, err error) {
	e := estate{Handovers: g.Handovers}
	for _, l := range g.listeners {
		if l.file == nil {
			continue
		}
		e.Listeners = append(e.Listeners, estateListener{int(l.file.Fd()), l.spec, l.systemd})
		err = errors.Join(err, keepOpen(l.file))
	}
	for _, c := range g.conns {
		e.Conns = append(e.Conns, estateConn{int(c.file.Fd()), c.door, c.state})
		err = errors.Join(err, keepOpen(c.file))
	}
	if err != nil {
		return "", err
	}
	text, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	f, err := nameless("millrace-handover")
	if err != nil {
		return "", err
	}
	if _, err := f.Write(text); err != nil {
		return "", errors.Join(err, f.Close())
	}
	fd, err := syscall.Dup(int(f.Fd())) // a duplicate that no finalizer closes, and that lives through the exec
	return fmt.Sprintf("%s=%d", handoverEnv, fd), errors.Join(err, f.Close())
}

// keepOpen has a descriptor outlive an exec.
func keepOpen(f *os.File) error {
	_, _, errno := syscall.Syscall(syscall.SYS_FCNTL, f.Fd(), syscall.F_SETFD, 0)
	if errno != 0 {
		return fmt.Errorf("descriptor %d: %w", f.Fd(), errno)
	}
	return nil
}

// Recall undoes Export, after an exec that failed.
func (g *Given) Recall(env string) {
	for _, l := range g.listeners {
		if l.file != nil {
			syscall.CloseOnExec(int(l.file.Fd()))
		}
	}
	for _, c := range g.conns {
		syscall.CloseOnExec(int(c.file.Fd()))
	}
	if fd, err := strconv.Atoi(env[len(handoverEnv)+1:]); err == nil {
		syscall.Close(fd)
	}
}

// receiveHandover reads what the process before this one has handed over. It returns nil if there was none.
func receiveHandover() (*Given, error) {
	value, found := os.LookupEnv(handoverEnv)
	if !found {
		return nil, nil
	}
	os.Unsetenv(handoverEnv) // never fails on Unix
	fd, err := strconv.Atoi(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %s=%q is no number", ErrHandover, handoverEnv, value)
	}
	f := os.NewFile(uintptr(fd), "handover")
	defer f.Close()
	e, err := readEstate(f)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrHandover, err)
	}
	return e.given(), nil
}

// maxEstate bounds an estate: a thousand times what a connection may need of it.
const maxEstate = 64 << 20

func readEstate(f *os.File) (e estate, err error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return e, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxEstate))
	if err != nil {
		return e, err
	}
	err = json.Unmarshal(text, &e)
	return e, err
}

// given makes files of the descriptors. From here on no child inherits them.
func (e *estate) given() *Given {
	g := &Given{Handovers: e.Handovers}
	for _, l := range e.Listeners {
		syscall.CloseOnExec(l.FD)
		g.listeners = append(g.listeners, givenListener{os.NewFile(uintptr(l.FD), l.Spec), l.Spec, l.Systemd})
	}
	for _, c := range e.Conns {
		syscall.CloseOnExec(c.FD)
		g.conns = append(g.conns, givenConn{os.NewFile(uintptr(c.FD), c.Door), c.Door, c.State})
	}
	return g
}
