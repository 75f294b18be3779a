package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"path/filepath"

	"github.com/millrace/millrace/test/standin"
)

// client brings messages to the daemon over one connection.
type client interface {
	// bring hands message i over, and reports whether the daemon has taken it.
	bring(i int, raw []byte) (taken bool, err error)
	Close() error
}

// connect makes a client: one of the stand-in MTA, or one of an application when there is no MTA.
func (m *mta) connect(ctx context.Context, dir string) (client, error) {
	if m.o.NoMTA {
		return newApplication(ctx, m, submissionPath(dir))
	}
	c, err := standin.Dial("unix", socketPath(dir), standin.Options{ClientName: "listmonk.test", ClientAddr: "192.0.2.80"})
	if err != nil {
		return nil, err
	}
	return &offerer{c, m}, nil
}

// offerer is a process of the stand-in MTA, with its connection to the milter.
type offerer struct {
	*standin.Conn
	m *mta
}

func (o *offerer) bring(i int, raw []byte) (taken bool, err error) {
	msg := &standin.Message{QueueID: fmt.Sprintf("4D%07d", i), From: sender(i), Rcpts: standin.To(o.m.rcpt(i))}
	msg.Header, msg.Body = standin.Parse(raw)
	v, err := o.Send(msg)
	return err == nil && v.Taken(), err
}

// submissionPath is the socket for applications.
func submissionPath(dir string) string { return filepath.Join(dir, "submission.sock") }

// application is a program that sends mail by SMTP.
type application struct {
	*textproto.Conn
	m *mta
}

func newApplication(ctx context.Context, m *mta, socket string) (*application, error) {
	nc, err := new(net.Dialer).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, err
	}
	a := &application{textproto.NewConn(nc), m}
	if err := a.expect(220); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if err := a.PrintfLine("EHLO listmonk.test"); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if err := a.expect(250); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// expect reads the next reply.
func (a *application) expect(codes ...int) error {
	for _, code := range codes {
		if _, _, err := a.ReadResponse(code); err != nil {
			return err
		}
	}
	return nil
}

// bring sends a message as it is: no line of the campaign begins with a dot. A refusal is an error, because the application has nobody
// else to turn to.
func (a *application) bring(i int, raw []byte) (taken bool, err error) {
	if err := a.PrintfLine("MAIL FROM:<%s>\r\nRCPT TO:<%s>\r\nDATA", sender(i), a.m.rcpt(i)); err != nil {
		return false, err
	}
	if err := a.expect(250, 250, 354); err != nil {
		return false, err
	}
	if _, err := a.W.Write(raw); err != nil {
		return false, err
	}
	if err := a.PrintfLine("."); err != nil {
		return false, err
	}
	err = a.expect(250)
	return err == nil, err
}
