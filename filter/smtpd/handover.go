package smtpd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/millrace/millrace/filter"
)

// A session that is between two messages is handed over to another process as what the client has said so far: an MTA keeps its
// connections for the next message, and a client that is hung up on may take the host for dead. A session in TLS cannot be handed over,
// because its keys cannot: it ends as by Stop, behind its message.

// sessionState is a session on its way to another process.
type sessionState struct {
	Role     string     `json:"role"`
	Greeted  bool       `json:"greeted,omitempty"`
	Extended bool       `json:"extended,omitempty"`
	LMTP     bool       `json:"lmtp,omitempty"`
	Helo     string     `json:"helo,omitempty"`
	Name     string     `json:"name,omitempty"` // of the client
	Addr     netip.Addr `json:"addr"`
	Port     string     `json:"port,omitempty"`
	SASLUser string     `json:"sasl_user,omitempty"`
	Forward  attributes `json:"forward"`
	Login    string     `json:"login,omitempty"`
	Errs     int        `json:"errs,omitempty"`
	Idle     int        `json:"idle,omitempty"`
	Unread   []byte     `json:"unread,omitempty"` // of a command that has not come whole
}

// portable reports whether the session can be handed over while it waits for its next command.
func (s *session) portable() bool { return s.t == nil && !s.tls }

// handOn keeps a session's connection for another process.
func (d *Door) handOn(s *session) {
	c := &s.client
	text, err := json.Marshal(sessionState{
		Role: s.role.String(), Greeted: s.greeted, Extended: s.extended, LMTP: s.lmtp, Helo: c.Helo, Name: c.ClientName, Addr: c.ClientAddr, Port: c.Port,
		SASLUser: c.SASLUser, Forward: s.forward, Login: s.login, Errs: s.errs, Idle: s.idle, Unread: s.in.buf[s.in.r:s.in.w],
	})
	if err = errors.Join(err, s.nc.SetDeadline(time.Time{})); err != nil {
		d.intake.NoteBroken("a connection cannot be handed over", "error", err, "client", c.Client())
		s.nc.Close()
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.handed = append(d.handed, filter.Handed{Conn: s.nc, State: text})
}

// HandOver accepts no more connections, lets messages under way finish, and returns the connections that are between two messages for
// another process. Those in TLS are closed there. When ctx ends first, connections with a message under way are closed, and the error is
// that of ctx. The listeners are closed: who wants to go on with them must have a duplicate.
func (d *Door) HandOver(ctx context.Context) ([]filter.Handed, error) {
	d.handing.Store(true)
	d.shut()
	d.serving.Wait() // else one more connection could come
	if d.upstream != nil {
		defer d.upstream.close()
	}
	d.each(func(s *session) {
		s.halt.Order()
		s.mu.Lock()
		secret := s.tls
		s.mu.Unlock()
		if secret {
			s.evict()
		}
	})
	ended := d.ended()
	var err error
	select {
	case <-ended:
	case <-ctx.Done():
		d.cutAll(ended)
		err = fmt.Errorf("smtpd: hand over: %w", ctx.Err())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.handed
	d.handed = nil
	return all, err
}

// Resume goes on with a connection that another process has handed over. The connection is the door's from then on, also after an error.
func (d *Door) Resume(h filter.Handed) error {
	var st sessionState
	err := json.Unmarshal(h.State, &st)
	role := roleNamed(st.Role)
	if err == nil && role == numRoles {
		err = fmt.Errorf("there is no role %q", st.Role)
	}
	if err == nil && len(st.Unread) > maxLine {
		err = errLongLine
	}
	if err != nil {
		h.Conn.Close()
		return fmt.Errorf("smtpd: a connection that was handed over: %w", err)
	}
	s := newSession(d, h.Conn, role)
	if st.Greeted {
		s.apply(&st)
	}
	d.welcome(s)
	return nil
}

// apply makes a new session what it was in another process.
func (s *session) apply(st *sessionState) {
	s.greeted, s.extended, s.lmtp, s.forward, s.login, s.errs, s.idle = true, st.Extended, st.LMTP, st.Forward, st.Login, st.Errs, st.Idle
	c := &s.client
	c.Helo, c.ClientName, c.ClientAddr, c.Port, c.SASLUser = st.Helo, st.Name, st.Addr, st.Port, st.SASLUser
	s.in.buf = slices.Grow(append([]byte(nil), st.Unread...), smallBuffer)
	s.in.w = len(st.Unread)
	s.in.buf = s.in.buf[:cap(s.in.buf)]
}

// roleNamed is the role of a name, or numRoles.
func roleNamed(name string) Role {
	for r := range numRoles {
		if r.String() == name {
			return r
		}
	}
	return numRoles
}
