package smtpd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/millrace/millrace/filter"
)

// attributes are what XFORWARD or XCLIENT says of a client (Postfix's XFORWARD_README and XCLIENT_README). An empty field is one that
// was not said, or was said to be unknown.
type attributes struct {
	Name     string // host name
	Addr     string // without "IPV6:"
	Port     string
	Proto    string // SMTP or ESMTP
	Helo     string
	Ident    string // the queue id at the peer
	Source   string // LOCAL or REMOTE: where the peer has the message from
	Login    string
	DestAddr string
	DestPort string
}

// attributeSet is which attributes a command has: for each name where its value goes, and how it is read.
type attributeSet map[string]attribute

type attribute struct {
	field func(*attributes) *string
	read  func(string) (string, error)
}

var (
	shared = attributeSet{
		"NAME": {func(a *attributes) *string { return &a.Name }, readWord},
		"ADDR": {func(a *attributes) *string { return &a.Addr }, readAddr},
		"PORT": {func(a *attributes) *string { return &a.Port }, readPort},
		"HELO": {func(a *attributes) *string { return &a.Helo }, readWord},
	}
	xforwardSet = shared.with(attributeSet{
		"PROTO":  {func(a *attributes) *string { return &a.Proto }, readWord},
		"IDENT":  {func(a *attributes) *string { return &a.Ident }, readText},
		"SOURCE": {func(a *attributes) *string { return &a.Source }, readSource},
	})
	xclientSet = shared.with(attributeSet{
		"PROTO":    {func(a *attributes) *string { return &a.Proto }, readProto},
		"LOGIN":    {func(a *attributes) *string { return &a.Login }, readText},
		"DESTADDR": {func(a *attributes) *string { return &a.DestAddr }, readAddr},
		"DESTPORT": {func(a *attributes) *string { return &a.DestPort }, readPort},
	})
)

func (s attributeSet) with(more attributeSet) attributeSet {
	all := make(attributeSet, len(s)+len(more))
	for name, a := range s {
		all[name] = a
	}
	for name, a := range more {
		all[name] = a
	}
	return all
}

// setXForward sets what an XFORWARD command says. After an error nothing has changed.
func (a *attributes) setXForward(argument string) error { return a.set(xforwardSet, argument) }

// setXClient sets what an XCLIENT command says. After an error nothing has changed.
func (a *attributes) setXClient(argument string) error { return a.set(xclientSet, argument) }

func (a *attributes) set(known attributeSet, argument string) error {
	pairs := strings.Fields(argument)
	if len(pairs) == 0 {
		return errors.New("give attributes as name=value")
	}
	next := *a
	for _, pair := range pairs {
		name, coded, found := strings.Cut(pair, "=")
		attr, ok := known[strings.ToUpper(name)]
		if !found || !ok {
			return fmt.Errorf("%s is no attribute", strconv.Quote(name[:min(len(name), maxName)]))
		}
		value, err := unxtext(coded)
		if err == nil && available(value) {
			*attr.field(&next), err = attr.read(value)
		} else {
			*attr.field(&next) = ""
		}
		if err != nil {
			return fmt.Errorf("%s: %w", strings.ToUpper(name), err)
		}
	}
	*a = next
	return nil
}

// maxName bounds how much of an unknown name is said back.
const maxName = 32

// available reports whether the peer knows a value. "[TEMPUNAVAIL]" is a host name that may be found later.
func available(value string) bool {
	return value != "" && !strings.EqualFold(value, "[UNAVAILABLE]") && !strings.EqualFold(value, "[TEMPUNAVAIL]")
}

// maxValue bounds a value in bytes, as Postfix does.
const maxValue = 255

var errXtext = errors.New("the value is not xtext (RFC 3461)")

// unxtext decodes xtext (RFC 3461 section 4). As in Postfix, other bytes than printable ASCII may stand for themselves.
func unxtext(coded string) (string, error) {
	if len(coded) > 3*maxValue {
		return "", errTooLong
	}
	b := make([]byte, 0, len(coded))
	for i := 0; i < len(coded); i++ {
		c := coded[i]
		if c == '+' {
			if len(coded)-i < 3 {
				return "", errXtext
			}
			n, err := strconv.ParseUint(coded[i+1:i+3], 16, 8)
			if err != nil {
				return "", errXtext
			}
			c, i = byte(n), i+2
		}
		b = append(b, c)
	}
	if len(b) > maxValue {
		return "", errTooLong
	}
	return string(b), nil
}

var errTooLong = errors.New("the value is longer than " + strconv.Itoa(maxValue) + " bytes")

// readWord takes what a stranger has said of himself. It goes into a header field: what could be taken for something else there
// becomes "?", as in Postfix.
func readWord(value string) (string, error) { return neutral(value, ` <>()\";@`), nil }

// readText takes what the peer itself has made, like a queue id.
func readText(value string) (string, error) { return neutral(value, ""), nil }

// neutral puts "?" for control characters, for what is not UTF-8, and for the runes of special.
func neutral(value, special string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == utf8.RuneError || strings.ContainsRune(special, r) {
			return '?'
		}
		return r
	}, value)
}

func readAddr(value string) (string, error) {
	addr := filter.ParseAddr(value)
	if !addr.IsValid() || addr.Zone() != "" {
		return "", errors.New("this is no address")
	}
	return addr.String(), nil
}

func readPort(value string) (string, error) {
	if _, err := strconv.ParseUint(value, 10, 16); err != nil {
		return "", errors.New("this is no port")
	}
	return value, nil
}

func readProto(value string) (string, error) { return oneOf(value, "SMTP", "ESMTP") }

func readSource(value string) (string, error) { return oneOf(value, "LOCAL", "REMOTE") }

func oneOf(value string, words ...string) (string, error) {
	for _, w := range words {
		if strings.EqualFold(value, w) {
			return w, nil
		}
	}
	return "", fmt.Errorf("this is neither %s", strings.Join(words, " nor "))
}
