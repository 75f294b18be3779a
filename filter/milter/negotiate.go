package milter

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"

	lib "github.com/emersion/go-milter"
)

const (
	wantActions = lib.OptRemoveRcpt | lib.OptAddHeader | lib.OptSetSymList
	// wantProtocol are the steps that serve every connection.
	wantProtocol = lib.OptNoHeaderReply | lib.OptNoBodyReply | lib.OptNoData | lib.OptNoUnknown | lib.OptHeaderLeadingSpace | lib.OptNoHeloReply
	// knownProtocol are all steps that a connection can be served with.
	knownProtocol = wantProtocol | lib.OptNoMailReply | lib.OptNoRcptReply
)

// wish is what the connection asks for beside: at MAIL and RCPT it answers only where something may be said. See the package comment.
func (c *conn) wish() lib.OptProtocol {
	w := wantProtocol
	if !c.intake.Filter().EndsAtMail() {
		w |= lib.OptNoMailReply
	}
	if !c.session.drip.wantsWatch() {
		w |= lib.OptNoRcptReply
	}
	return w
}

// negotiate reads the first frame, which must be the MTA's offer, and has the library answer it. Terms that another process has
// agreed with the MTA stay as they are.
func (c *conn) negotiate() error {
	told := c.replay > 0
	code, n, err := c.head()
	if err != nil {
		return err
	}
	if code != lib.CodeOptNeg {
		return fmt.Errorf("command %q before the negotiation", byte(code))
	}
	payload, err := c.frames.payload(n)
	if err != nil {
		return err
	}
	wish := knownProtocol
	if !told {
		wish = c.wish()
	}
	if c.session.granted, err = parseOffer(payload, wish); err != nil {
		return err
	}
	c.session.enterDrip()
	offer := appendFrame(nil, byte(code), payload)
	c.past.offer = c.session.granted.asOffer()
	if told && !bytes.Equal(offer, c.past.offer) {
		return errOtherTerms
	}
	c.greet(offer)
	return nil
}

// greet has the library answer the MTA's offer. The library sees no more of the connection.
func (c *conn) greet(offer []byte) {
	asked := symbols(c.intake.Filter().Macros())
	c.session.macros.wanted = names(asked)
	g := &greeting{Conn: c.nc, offer: bytes.NewReader(offer), reply: c.write, over: make(chan struct{})}
	server := lib.Server{
		NewMilter: func() lib.Milter { return lib.NoOpMilter{} },
		Actions:   c.session.granted.actions, Protocol: c.session.granted.protocol,
		SymList: asked,
	}
	server.Serve(&oneShot{conn: g}) // returns as soon as the library's goroutine runs
	<-g.over
}

// greeting is a connection that ends with the MTA's offer.
type greeting struct {
	net.Conn
	offer *bytes.Reader
	reply func([]byte)
	over  chan struct{} // closed when the library has answered
}

// Read implements net.Conn.
func (g *greeting) Read(p []byte) (int, error) { return g.offer.Read(p) }

// Write implements net.Conn.
func (g *greeting) Write(p []byte) (int, error) {
	g.reply(p)
	return len(p), nil
}

// Close implements net.Conn. It is the last act of the library's goroutine.
func (g *greeting) Close() error {
	close(g.over)
	return nil
}

// oneShot is a listener with a single connection.
type oneShot struct{ conn net.Conn }

// Accept implements net.Listener.
func (o *oneShot) Accept() (net.Conn, error) {
	c := o.conn
	if o.conn = nil; c == nil {
		return nil, io.EOF
	}
	return c, nil
}

// Close implements net.Listener.
func (o *oneShot) Close() error { return nil }

// Addr implements net.Listener.
func (o *oneShot) Addr() net.Addr { return nil }

// granted is the part of our wishes that the MTA offers. The library would ask for all wishes, and Sendmail refuses a
// filter that asks for something it does not have.
type granted struct {
	actions  lib.OptAction
	protocol lib.OptProtocol
}

// parseOffer reads the payload of the MTA's first frame: version, actions, protocol steps, 32 bits each.
func parseOffer(payload []byte, wish lib.OptProtocol) (granted, error) {
	if len(payload) < 12 {
		return granted{}, fmt.Errorf("negotiation of %d bytes instead of 12", len(payload))
	}
	if v := binary.BigEndian.Uint32(payload); v < 2 {
		return granted{}, fmt.Errorf("the MTA speaks milter version %d, at least 2 is needed", v)
	}
	return granted{
		actions:  wantActions & lib.OptAction(binary.BigEndian.Uint32(payload[4:])),
		protocol: wish & lib.OptProtocol(binary.BigEndian.Uint32(payload[8:])),
	}, nil
}

func (g granted) does(a lib.OptAction) bool    { return g.actions&a != 0 }
func (g granted) skips(p lib.OptProtocol) bool { return g.protocol&p != 0 }

// waits reports whether the MTA waits for an answer to a command.
func (g granted) waits(code lib.Code) bool {
	switch code {
	case lib.CodeMacro, lib.CodeAbort, lib.CodeQuit:
		return false
	case lib.CodeHelo:
		return !g.skips(lib.OptNoHeloReply)
	case lib.CodeMail:
		return !g.skips(lib.OptNoMailReply)
	case lib.CodeRcpt:
		return !g.skips(lib.OptNoRcptReply)
	case lib.CodeHeader:
		return !g.skips(lib.OptNoHeaderReply)
	case lib.CodeBody:
		return !g.skips(lib.OptNoBodyReply)
	}
	return true
}

// symbols is the list of macros to ask for. For the end of the header and the end of the message the list is short,
// because Postfix sends these macros before every header field and every body chunk. Neither may be missing or empty:
// Sendmail looks at the list for the end of the header when it sends that for the end of the message, and to both MTAs
// an empty list means their own.
func symbols(ruleMacros []string) map[lib.Stage][]string {
	mail := []string{"i", "{auth_authen}", "{auth_type}", "{tls_version}", "{client_addr}", "{client_name}"}
	for _, name := range ruleMacros {
		if len(name) > 1 {
			name = "{" + name + "}"
		}
		mail = append(mail, name)
	}
	return map[lib.Stage][]string{
		lib.StageConnect:  {"j", "v", "{daemon_name}", "{daemon_port}", "{client_addr}", "{client_name}"},
		lib.StageHelo:     {"{tls_version}"},
		lib.StageMailFrom: mail,
		lib.StageRcptTo:   {"{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"},
		lib.StageEOH:      {"i"},
		lib.StageEOM:      {"i"},
	}
}

// names are the names of all macros in a list of symbols, without braces.
func names(symbols map[lib.Stage][]string) []string {
	var all []string
	for _, stage := range symbols {
		for _, name := range stage {
			if name = strings.Trim(name, "{}"); !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
