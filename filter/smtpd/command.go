package smtpd

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/millrace/millrace/filter"
)

// commands are the verbs with what they do. The argument has no blanks around it.
var commands = map[string]func(s *session, argument string) reply{
	"EHLO": (*session).ehlo, "HELO": (*session).helo, "LHLO": (*session).lhlo,
	"MAIL": (*session).from, "RCPT": (*session).rcpt, "DATA": (*session).data, "BDAT": (*session).bdat,
	"RSET": (*session).rset, "NOOP": (*session).noop, "QUIT": (*session).quit,
	"VRFY": (*session).vrfy, "EXPN": (*session).vrfy, "HELP": (*session).help,
	"STARTTLS": (*session).starttls, "AUTH": (*session).auth, "XFORWARD": (*session).xforward, "XCLIENT": (*session).xclient,
}

func (s *session) ehlo(name string) reply { return s.hello(name, true, false) }
func (s *session) helo(name string) reply { return s.hello(name, false, false) }
func (s *session) lhlo(name string) reply { return s.hello(name, true, true) }

// hello begins a session, or begins it again (RFC 5321 section 4.1.4).
func (s *session) hello(name string, extended, lmtp bool) reply {
	if name == "" || strings.ContainsRune(name, ' ') {
		return reply{501, "5.5.4", "give the name of your host"}
	}
	s.idle++
	s.reset()
	s.extended, s.lmtp, s.client.Helo = extended, lmtp, name
	if !extended {
		return reply{250, "", s.door.hostname}
	}
	return reply{250, "", strings.Join(s.extensions(), "\n")}
}

// extensions are our name and what this client may use.
func (s *session) extensions() []string {
	cfg := &s.door.cfg
	list := []string{
		s.door.hostname, "PIPELINING", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "CHUNKING",
		fmt.Sprintf("LIMITS RCPTMAX=%d", cfg.MaxRcpts), // RFC 9422
	}
	if s.rescues() { // without SIZE: Postfix returns a message that is larger to its sender
		list = append(list, RescueKeyword)
	} else {
		list = append(list, "SIZE "+strconv.FormatInt(cfg.MaxSize, 10))
	}
	if s.door.tls != nil && !s.tls {
		list = append(list, "STARTTLS")
	}
	if s.mayLogIn() {
		list = append(list, "AUTH PLAIN LOGIN")
	}
	if s.listed(cfg.XForwardHosts, true) {
		list = append(list, "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE")
	}
	if s.listed(cfg.XClientHosts, false) {
		list = append(list, "XCLIENT NAME ADDR PORT PROTO HELO LOGIN DESTADDR DESTPORT")
	}
	return list
}

// listed reports whether the peer is in one of the networks. This host may be meant without being named.
func (s *session) listed(networks []netip.Prefix, own bool) bool {
	if !s.peer.IsValid() || s.peer.IsLoopback() {
		if own || !s.peer.IsValid() && len(networks) > 0 {
			return true
		}
	}
	for _, n := range networks {
		if n.Contains(s.peer) {
			return true
		}
	}
	return false
}

func (s *session) rset(string) reply {
	s.idle++
	s.reset()
	return reply{250, "2.0.0", "Ok"}
}

func (s *session) noop(string) reply {
	s.idle++
	return reply{250, "2.0.0", "Ok"}
}

// quit says goodbye, unless nobody waits for it: Postfix's proxy client has a connection for each message, and closes it behind QUIT. To
// write to it all the same costs as much as any other reply.
func (s *session) quit(string) reply {
	s.closing = true
	if s.role == Proxy && readable(s.nc) {
		return reply{}
	}
	return reply{221, "2.0.0", "Bye"}
}

// vrfy tells nobody who exists (RFC 5321 section 7.3).
func (s *session) vrfy(string) reply {
	s.idle++
	return reply{252, "2.5.2", "send a message and see"}
}

func (s *session) help(string) reply {
	s.idle++
	return reply{214, "2.0.0", "this is Millrace: see RFC 5321"}
}

func (s *session) starttls(argument string) reply {
	switch {
	case s.door.tls == nil:
		return reply{502, "5.5.1", "STARTTLS is not offered here"}
	case argument != "":
		return reply{501, "5.5.4", "STARTTLS takes no argument"}
	case s.tls:
		return reply{503, "5.5.1", "TLS is in use already"}
	}
	if err := s.startTLS(); err != nil {
		s.door.intake.NoteBroken("TLS with a client failed", "peer", s.nc.RemoteAddr(), "error", err)
		s.closing, s.out = true, nil
	}
	return reply{}
}

// xforward is told where the next messages come from.
func (s *session) xforward(argument string) reply {
	switch {
	case !s.listed(s.door.cfg.XForwardHosts, true):
		return reply{550, "5.7.0", "this host may not use XFORWARD: see xforward_hosts"}
	case s.t != nil:
		return reply{503, "5.5.1", "XFORWARD within a message"}
	}
	if err := s.forward.setXForward(argument); err != nil {
		return reply{501, "5.5.4", err.Error()}
	}
	return reply{250, "2.0.0", "Ok"}
}

// xclient makes the session that of another client, from its greeting on.
func (s *session) xclient(argument string) reply {
	switch {
	case !s.listed(s.door.cfg.XClientHosts, false):
		return reply{550, "5.7.0", "this host may not use XCLIENT: see xclient_hosts"}
	case s.t != nil:
		return reply{503, "5.5.1", "XCLIENT within a message"}
	}
	var a attributes
	if err := a.setXClient(argument); err != nil {
		return reply{501, "5.5.4", err.Error()}
	}
	s.restart()
	s.client = s.ownClient()
	a.describe(&s.client)
	s.login = a.Login
	s.greet()
	return reply{}
}

// describe overwrites what is known of a client.
func (a *attributes) describe(o *filter.Offer) {
	if a.Name != "" {
		o.ClientName = a.Name
	}
	if addr := filter.ParseAddr(a.Addr); addr.IsValid() {
		o.ClientAddr = addr
		if a.Name == "" {
			o.ClientName = ""
		}
	}
	if a.Helo != "" {
		o.Helo = a.Helo
	}
}
