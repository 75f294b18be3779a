package smtp

import (
	"errors"
	"io"
	"os"
	"testing"
)

func TestErrorThrottle(t *testing.T) {
	tests := []struct {
		code     int
		enhanced string
		text     string
		want     bool
	}{
		{421, "", "closing", true},
		{421, "4.7.0", "[TSS04] Messages temporarily deferred", true},
		{450, "4.7.28", "unusual volume", true},
		{452, "4.5.3", "too many recipients", true},
		{451, "4.3.2", "please slow down", true},
		{451, "4.4.5", "busy", true},
		{451, "", "Rate limited due to reputation", true},
		{451, "", "sending rate exceeded", true},
		{451, "", "rate-limit", true},
		{450, "4.2.1", "Too many messages for this user", false}, // the site takes mail for others
		{450, "", "you are being throttled", true},
		{451, "4.7.1", "Greylisting in action, please come back later", false},
		{421, "4.7.0", "graylisted", false},
		{451, "4.3.0", "temporarily generated error", false},
		{450, "4.2.2", "mailbox full, operate later", false},
		{452, "4.3.1", "insufficient storage", false},
		{554, "5.7.1", "too many connections from your address", true}, // greeting
		{250, "", "too many", false},
		{0, "4.4.2", "", false},
	}
	for _, tt := range tests {
		e := &Error{Code: tt.code, Enhanced: tt.enhanced, Lines: []string{tt.text}}
		if got := e.Throttle(); got != tt.want {
			t.Errorf("%v: got %v", e, got)
		}
	}
	for _, e := range []*Error{local("5.3.4", "too many bytes"), refusal(AtRCPT, raw{code: 554, text: []byte("5.4.6 too many hops")})} {
		if e.Throttle() {
			t.Errorf("%v is about the message", e)
		}
	}
}

func TestErrorText(t *testing.T) {
	tests := []struct {
		in   *Error
		want string
	}{
		{&Error{Code: 550, Enhanced: "5.1.1", Command: AtRCPT, Lines: []string{"no such", "user"}}, "RCPT: 550 5.1.1 no such user"},
		{lost(AtDot, io.EOF), "end of data: lost connection: EOF"},
		{lost(AtBanner, os.ErrDeadlineExceeded), "banner: timed out: i/o timeout"},
		{local("5.3.4", "too large"), "too large"},
		{&Error{Command: AtMAIL, Err: errors.New("a\r\nb")}, "MAIL: a??b"},
	}
	for _, tt := range tests {
		if got := tt.in.Error(); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestErrorUnwrap(t *testing.T) {
	if e := lost(AtDATA, io.ErrUnexpectedEOF); !errors.Is(e, io.ErrUnexpectedEOF) || e.Permanent {
		t.Errorf("got %#v", e)
	}
	if e := refusal(AtRCPT, raw{code: 421}); !e.Closing() || e.Permanent {
		t.Errorf("got %#v", e)
	}
	if e := outOfStep(AtDATA, raw{code: 550}); e.Permanent || !errors.Is(e, errProtocol) {
		t.Errorf("got %#v", e)
	}
}
