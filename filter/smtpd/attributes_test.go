package smtpd

import (
	"strings"
	"testing"
)

func TestXForward(t *testing.T) {
	for _, c := range []struct {
		argument string
		want     attributes
		err      string // a part of it
	}{
		{"NAME=spike.porcupine.org ADDR=168.100.189.2 PROTO=ESMTP", attributes{Name: "spike.porcupine.org", Addr: "168.100.189.2", Proto: "ESMTP"}, ""},
		{"PORT=1234 HELO=spike SOURCE=REMOTE IDENT=4bXyZ1", attributes{Port: "1234", Helo: "spike", Source: "REMOTE", Ident: "4bXyZ1"}, ""},
		{"name=a  addr=IPV6:2001:db8::1 source=local", attributes{Name: "a", Addr: "2001:db8::1", Source: "LOCAL"}, ""},
		{"ADDR=::ffff:192.0.2.1", attributes{Addr: "192.0.2.1"}, ""},
		{"NAME=[UNAVAILABLE] ADDR=[UNAVAILABLE] PORT=[unavailable] IDENT= HELO=[TEMPUNAVAIL]", attributes{}, ""},
		{"HELO=a+20b+0D+0Ac+3C+3E", attributes{Helo: "a?b??c??"}, ""},
		{"HELO=b\xff+FF", attributes{Helo: "b??"}, ""},
		{"HELO=b\u00fccher.example", attributes{Helo: "b\u00fccher.example"}, ""},
		{"IDENT=a+20b@c+0A", attributes{Ident: "a b@c?"}, ""},
		{"IDENT=+2B", attributes{Ident: "+"}, ""},
		{"HELO=" + strings.Repeat("a", maxValue), attributes{Helo: strings.Repeat("a", maxValue)}, ""},
		{"HELO=" + strings.Repeat("a", maxValue+1), attributes{}, "HELO: the value is longer"},
		{"HELO=" + strings.Repeat("+41", maxValue+1), attributes{}, "HELO: the value is longer"},
		{"", attributes{}, "name=value"},
		{"NAME", attributes{}, `"NAME" is no attribute`},
		{"FROM=x", attributes{}, `"FROM" is no attribute`},
		{"LOGIN=x", attributes{}, `"LOGIN" is no attribute`},
		{strings.Repeat("X", 1000) + "=x", attributes{}, `"` + strings.Repeat("X", maxName) + `" is no attribute`},
		{"NAME=a ADDR=b", attributes{}, "ADDR: this is no address"},
		{"ADDR=fe80::1%eth0", attributes{}, "ADDR: this is no address"},
		{"PORT=65536", attributes{}, "PORT: this is no port"},
		{"SOURCE=MARS", attributes{}, "SOURCE: this is neither LOCAL nor REMOTE"},
		{"HELO=a+4", attributes{}, "HELO: the value is not xtext"},
		{"HELO=a+zz", attributes{}, "HELO: the value is not xtext"},
	} {
		var a attributes
		err := a.setXForward(c.argument)
		if a != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%.80q: %+v, %v; want %+v, %q", c.argument, a, err, c.want, c.err)
		}
	}
}

func TestXClient(t *testing.T) {
	a := attributes{Ident: "kept"}
	if err := a.setXClient("NAME=x ADDR=192.0.2.1 LOGIN=u@example.com PROTO=esmtp DESTADDR=192.0.2.2 DESTPORT=25"); err != nil {
		t.Fatal(err)
	}
	want := attributes{Ident: "kept", Name: "x", Addr: "192.0.2.1", Login: "u@example.com", Proto: "ESMTP", DestAddr: "192.0.2.2", DestPort: "25"}
	if a != want {
		t.Errorf("%+v, want %+v", a, want)
	}
	for _, bad := range []string{"IDENT=x", "PROTO=LMTP", "DESTADDR=x", "DESTPORT=-1", "LOGIN"} {
		if err := a.setXClient(bad + " NAME=y"); err == nil || a != want {
			t.Errorf("%s: %v, %+v", bad, err, a)
		}
	}
	if err := a.setXClient("LOGIN=[UNAVAILABLE]"); err != nil || a.Login != "" {
		t.Errorf("the login stays: %+v, %v", a, err)
	}
}

// FuzzAttributes: whatever is said, a value is bounded and cannot leave its line.
func FuzzAttributes(f *testing.F) {
	f.Add("NAME=a ADDR=192.0.2.1 PORT=25 PROTO=ESMTP HELO=+0D+0A IDENT=x SOURCE=LOCAL")
	f.Add("LOGIN=a DESTADDR=::1 DESTPORT=1 NAME=[UNAVAILABLE]")
	f.Fuzz(func(t *testing.T, argument string) {
		for _, set := range []func(*attributes, string) error{(*attributes).setXForward, (*attributes).setXClient} {
			var a attributes
			if err := set(&a, argument); err != nil {
				if a != (attributes{}) {
					t.Fatalf("%q: changed by an error: %+v", argument, a)
				}
				if strings.ContainsAny(err.Error(), "\r\n\x00") || len(err.Error()) > 300 {
					t.Fatalf("%q: the error cannot be said: %q", argument, err)
				}
			}
			for _, v := range []string{a.Name, a.Addr, a.Port, a.Proto, a.Helo, a.Ident, a.Source, a.Login, a.DestAddr, a.DestPort} {
				if strings.ContainsAny(v, "\r\n\x00") || len(v) > maxValue {
					t.Fatalf("%q: %q", argument, v)
				}
			}
		}
	})
}
