package smtpd

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
