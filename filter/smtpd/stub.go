package smtpd

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/millrace/millrace/filter"
)

type upstream struct{}
type passage struct{}
type passEnvelope struct {
	mail    string
	rcpts   []string
	client  filter.Offer
	queueID string
	login   string
}

func newUpstream(Config, string, func(ctx context.Context, network, addr string) (net.Conn, error)) *upstream {
	return &upstream{}
}
func (u *upstream) begin(context.Context, passEnvelope) (*passage, error) {
	return nil, errors.New("none")
}
func (u *upstream) close()                            {}
func (p *passage) replies() []reply                   { return nil }
func (p *passage) data() error                        { return nil }
func (p *passage) Write(b []byte) (int, error)        { return len(b), nil }
func (p *passage) end(until time.Time) (reply, error) { return reply{}, nil }
func (p *passage) abort()                             {}

type decoder struct{ strict bool }

func newDecoder(dots, strict bool) decoder { return decoder{strict} }
func (d *decoder) decode(dst, src []byte) (out []byte, n int, end bool) {
	return dst, len(src), true
}
func (d *decoder) finish(dst []byte) []byte { return dst }
func (d *decoder) fault() string            { return "" }

type attributes struct{ Name, Addr, Port, Proto, Helo, Ident, Source, Login, DestAddr, DestPort string }

func (a *attributes) setXForward(argument string) error { return nil }
func (a *attributes) setXClient(argument string) error  { return nil }

type users struct{}

func readUsers(path string) (*users, error)                         { return nil, nil }
func (u *users) check(name, password string) bool                   { return false }
func parsePlain(response []byte) (name, password string, err error) { return }
