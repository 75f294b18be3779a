package config

import (
	"strings"
	"testing"
)

// TestEventsMistakes: each mistake in [events] has its line, its key and its repair.
func TestEventsMistakes(t *testing.T) {
	const file, hook = "[[events.file]]\npath = '/x/events.json'\n", "[[events.webhook]]\nurl = 'https://hooks.example.org/'\n"
	for _, test := range []struct{ name, text, want string }{
		{"all is well", file + hook, ""},
		{"a small buffer", "[events]\nbuffer = 5\n", "c.toml:3: events.buffer: 5 is not between"},
		{"no path", "[[events.file]]\nkeep = 5\n", "c.toml:2: events.file[0].path"},
		{"a relative path", "[[events.file]]\npath = 'x'\n", `"x" is no file's path from the root`},
		{"one path twice", file + file, "c.toml:5: events.file[1].path"},
		{"a format", file + "format = 'csv'\n", `"csv" is neither "millrace" nor "kumomta"`},
		{"a type", hook + "kinds = ['bounce', 'bonce']\n", `"bonce" is no type of event`},
		{"no URL", "[[events.webhook]]\nurl = 'hooks.example.org'\n", "is no URL"},
		{"another scheme", "[[events.webhook]]\nurl = 'file:///etc/passwd'\n", "is no URL"},
		{"a private address", "[[events.webhook]]\nurl = 'http://10.1.2.3/'\n", "write allow_private = true"},
		{"an address of this host", "[[events.webhook]]\nurl = 'http://[::1]:80/'\n", "write allow_private = true"},
		{"a private address that is meant", "[[events.webhook]]\nurl = 'http://10.1.2.3/'\nallow_private = true\n", ""},
		{"no time", hook + "timeout = '0s'\n", "c.toml:4: events.webhook[0].timeout"},
		{"misspelled", hook + "secrt = 'x'\n", "events.webhook[0].secret?"},
	} {
		_, err := loadText("hostname = 'mail.example.org'\n" + test.text)
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v, want %q", test.name, err, test.want)
		}
	}
}
