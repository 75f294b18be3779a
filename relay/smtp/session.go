package smtp

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"
)

// session is the opening dialogue of a connection, up to its first MAIL.
type session struct {
	cfg  *Config
	mode TLSMode
}

func (s session) startDialogue(c *Conn) *Error {
	if err := s.cfg.Validate(); err != nil {
		return &Error{Local: true, Command: AtEHLO, Enhanced: "4.3.5", Err: err}
	}
	if err := c.banner(); err != nil {
		return err
	}
	if err := s.hello(c); err != nil {
		return err
	}
	if s.mode == TLSNone || !c.ext.StartTLS {
		return nil
	}
	return s.startTLS(c)
}

// banner reads the greeting. A 5xx here is about us, now, and not about a
// message; it is as temporary as a 4xx (Postfix's smtp_skip_5xx_greeting).
func (c *Conn) banner() *Error {
	r, err := c.rd.readReply(c.timeouts.Banner, time.Time{})
	if err != nil {
		return lost(AtBanner, err)
	}
	c.lockstep = r.noisy
	return sessionReply(AtBanner, r)
}

// sessionReply judges a reply before there is a message: 2xx goes on, nothing
// is permanent.
func sessionReply(at string, r raw) *Error {
	switch r.class() {
	case 2:
		return nil
	case 3:
		return outOfStep(at, r)
	}
	e := refusal(at, r)
	e.Permanent = false
	return e
}

// hello says EHLO, or HELO to a peer that answers EHLO with anything but yes (RFC
// 5321, 3.2; like Postfix also after a 4xx), and learns the extensions. Earlier ones are forgotten: they may have been said in
// clear.
func (s session) hello(c *Conn) *Error {
	c.ext = Extensions{Size: -1}
	r, err := s.ask(c, AtEHLO, "EHLO "+s.cfg.Hostname+"\r\n")
	if err != nil {
		return err
	}
	at := AtEHLO
	if r.class() != 2 && r.code != 421 {
		at = AtHELO
		if r, err = s.ask(c, AtHELO, "HELO "+s.cfg.Hostname+"\r\n"); err != nil {
			return err
		}
	}
	if err := sessionReply(at, r); err != nil {
		return err
	}
	p := r.whole()
	c.greeting, _, _ = strings.Cut(p.Lines[0], " ")
	if at == AtEHLO {
		c.ext = parseExtensions(p.Lines[1:])
	}
	return nil
}

// ask writes one command of the opening dialogue and reads its reply.
func (s session) ask(c *Conn, at, command string) (raw, *Error) {
	if err := c.write(at, []byte(command)); err != nil {
		return raw{}, err
	}
	wait := c.timeouts.EHLO
	if at == AtSTARTTLS {
		wait = c.timeouts.STARTTLS
	}
	r, err := c.rd.readReply(wait, time.Time{})
	if err != nil {
		return raw{}, lost(at, err)
	}
	c.lockstep = c.lockstep || r.noisy
	return r, nil
}

// startTLS encrypts the session and says EHLO again: nothing that was said in
// clear may be believed afterwards (RFC 3207, 4.2). A peer that refuses STARTTLS
// gets its mail in clear.
func (s session) startTLS(c *Conn) *Error {
	r, err := s.ask(c, AtSTARTTLS, "STARTTLS\r\n")
	if err != nil && (err.Code != 0 || errors.Is(err, errProtocol)) {
		return err
	}
	if err != nil {
		return tlsFailed(err.Err) // not answered; it would not be answered the next time either
	}
	if r.code == 421 || r.class() == 3 {
		return sessionReply(AtSTARTTLS, r)
	}
	if r.class() != 2 {
		c.tlsFault = refusal(AtSTARTTLS, r)
		c.tlsFault.Permanent = false
		return nil
	}
	if err := s.handshake(c); err != nil {
		return tlsFailed(inWords(err))
	}
	if err := s.hello(c); err != nil {
		if err.Code == 0 {
			return tlsFailed(err) // some peers complete the handshake and then close
		}
		return err
	}
	return nil
}

// tlsFailed marks err as a reason to try the address again in clear.
func tlsFailed(err error) *Error {
	return &Error{Command: AtSTARTTLS, Enhanced: "4.7.5", Err: fmt.Errorf("%w: %w", errTLS, err)}
}

// inWords says what happened in a handshake, where the error alone says only "EOF" or "i/o timeout".
func inWords(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("handshake timed out: %w", err)
	case errors.Is(err, io.EOF):
		return fmt.Errorf("peer closed the connection in the handshake: %w", err)
	}
	return err
}

// errInjected means that bytes in clear came behind the reply to STARTTLS. The
// peer cannot have sent them, because it must wait for our handshake first:
// somebody on the way did.
var errInjected = errors.New("plaintext after STARTTLS")

func (s session) handshake(c *Conn) error {
	if c.rd.br.Buffered() > 0 { // not pending: here a line that is no reply is an attack as well
		return errInjected
	}
	cfg := s.tlsConfig(c.to.Host)
	t := tls.Client(c.sock, cfg)
	if err := c.sock.SetDeadline(time.Now().Add(c.timeouts.STARTTLS)); err != nil {
		return err
	}
	if err := t.Handshake(); err != nil {
		return err
	}
	if err := c.sock.SetDeadline(time.Time{}); err != nil {
		return err
	}
	c.nc, c.tls, c.tcp, c.roots = t, t, nil, cfg.RootCAs
	c.rd.reset(t)
	return nil
}

// tlsConfig is the lenient configuration of opportunistic TLS (RFC 7435). The
// alternative is clear text, so an old protocol, a weak cipher suite or any
// certificate at all is better than none.
func (s session) tlsConfig(host string) *tls.Config {
	t := &tls.Config{}
	if s.cfg.TLSConfig != nil {
		t = s.cfg.TLSConfig.Clone()
	}
	if t.ServerName == "" {
		t.ServerName = serverName(host)
	}
	t.InsecureSkipVerify = true
	t.DynamicRecordSizingDisabled = true // bodies are written whole; small records only cost system calls
	if t.MinVersion == 0 {
		t.MinVersion = tls.VersionTLS10
	}
	if t.CipherSuites == nil {
		t.CipherSuites = cipherSuites()
	}
	return t
}

// serverName is the name of host in SNI, without a final dot. An address has none
// (RFC 6066, 3).
func serverName(host string) string {
	host = strings.TrimSuffix(host, ".")
	if net.ParseIP(host) != nil {
		return ""
	}
	return host
}

// cipherSuites is every suite that the library knows, the good ones first.
func cipherSuites() []uint16 {
	var ids []uint16
	for _, s := range slices.Concat(tls.CipherSuites(), tls.InsecureCipherSuites()) {
		ids = append(ids, s.ID)
	}
	return ids
}
