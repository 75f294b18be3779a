package smtpd

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strings"
	"time"
)

// mayLogIn reports whether this client may log in now. Over a network a password goes in TLS only (RFC 4954 section 4).
func (s *session) mayLogIn() bool {
	return s.role == Submission && s.door.users != nil && s.login == "" && (s.tls || !s.peer.IsValid() || s.peer.IsLoopback())
}

var (
	replyLogin  = reply{535, "5.7.8", "name or password is wrong"}
	replyCancel = reply{501, "5.7.0", "login ended by the client"}
	replyBase64 = reply{501, "5.5.2", "this is no base64"}
)

// auth is AUTH (RFC 4954) with the mechanisms PLAIN (RFC 4616) and LOGIN, which has no standard and many clients.
func (s *session) auth(argument string) reply {
	mechanism, initial, _ := strings.Cut(argument, " ")
	switch {
	case s.login != "" || s.t != nil:
		return reply{503, "5.5.1", "AUTH is out of place"}
	case s.role != Submission || s.door.users == nil:
		return reply{502, "5.5.1", "AUTH is not offered here"}
	case !s.mayLogIn():
		return reply{538, "5.7.11", "say STARTTLS first"}
	}
	var name, password string
	var r reply
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		name, password, r = s.askPlain(initial)
	case "LOGIN":
		name, password, r = s.askLogin(initial)
	default:
		return reply{504, "5.5.4", "use PLAIN or LOGIN"}
	}
	if r.code != 0 {
		return r
	}
	if !s.door.users.check(name, password) {
		s.door.counts.logins.Add(1)
		s.door.intake.Warn("login refused", "name", strings.ToValidUTF8(name[:min(len(name), 64)], "?"), "peer", s.nc.RemoteAddr())
		return replyLogin
	}
	s.login = name
	return reply{235, "2.7.0", "logged in"}
}

// askPlain gets name and password of PLAIN: behind the command, or in answer to an empty challenge.
func (s *session) askPlain(initial string) (name, password string, r reply) {
	response, r := s.challenge(initial, "")
	if r.code != 0 {
		return "", "", r
	}
	name, password, err := parsePlain(response)
	if err != nil {
		return "", "", reply{501, "5.5.2", err.Error()}
	}
	return name, password, reply{}
}

// askLogin asks for the name, which may stand behind the command, and for the password.
func (s *session) askLogin(initial string) (name, password string, r reply) {
	first, r := s.challenge(initial, "Username:")
	if r.code != 0 {
		return "", "", r
	}
	name = string(first)
	second, r := s.challenge("", "Password:")
	return name, string(second), r
}

// challenge decodes a response: the one at hand, or what the client says to the text.
func (s *session) challenge(initial, text string) ([]byte, reply) {
	switch {
	case initial == "=": // an empty response
		return nil, reply{}
	case initial == "":
		s.say(reply{334, "", base64.StdEncoding.EncodeToString([]byte(text))})
		if err := s.flush(); err != nil {
			s.closing = true
			return nil, replyCancel
		}
		line, err := s.in.line(time.Now().Add(s.door.cfg.CommandTimeout))
		if errors.Is(err, errLongLine) {
			return nil, replyLongLine
		}
		if err != nil {
			s.closing = true
			return nil, reply{421, "4.4.2", s.door.hostname + " timeout"}
		}
		initial = string(bytes.TrimRight(line, "\r\n"))
	}
	if initial == "*" {
		return nil, replyCancel
	}
	response, err := base64.StdEncoding.DecodeString(initial)
	if err != nil {
		return nil, replyBase64
	}
	return response, reply{}
}
