package smtpd

import "testing"

func TestParsePlain(t *testing.T) {
	for _, c := range []struct {
		response, name, password string
		ok                       bool
	}{
		{"\x00tim\x00tanstaaftanstaaf", "tim", "tanstaaftanstaaf", true},
		{"tim\x00tim\x00x", "tim", "x", true},
		{"\x00b\u00fc@example.com\x00p\u00e4ss w\u00f6rd", "b\u00fc@example.com", "p\u00e4ss w\u00f6rd", true},
		{"Ursel\x00Kurt\x00xipj3plmq", "", "", false},
		{"\x00tim\x00", "", "", false},
		{"\x00\x00x", "", "", false},
		{"tim\x00x", "", "", false},
		{"\x00tim\x00a\x00b", "", "", false},
		{"\x00tim\x00\xff", "", "", false},
		{"", "", "", false},
	} {
		name, password, err := parsePlain([]byte(c.response))
		if name != c.name || password != c.password || (err == nil) != c.ok {
			t.Errorf("%q: %q, %q, %v", c.response, name, password, err)
		}
	}
}

func FuzzParsePlain(f *testing.F) {
	f.Add([]byte("a\x00a\x00b"))
	f.Fuzz(func(t *testing.T, response []byte) {
		name, password, err := parsePlain(response)
		if err != nil {
			return
		}
		if got := string(response); got != "\x00"+name+"\x00"+password && got != name+"\x00"+name+"\x00"+password {
			t.Fatalf("%q became %q and %q", response, name, password)
		}
	})
}
