package daemon

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
)

// logged is what one record looks like.
func logged(msg string, args ...any) string {
	var b bytes.Buffer
	l := NewLog(&b, hclog.Info)
	l.Warn(msg, args...)
	_, line, _ := strings.Cut(b.String(), " ") // without the time
	return line
}

// A peer's words are one value in one line, whatever is in them.
func TestLogLines(t *testing.T) {
	t.Setenv("JOURNAL_STREAM", "")
	for _, tt := range []struct {
		args []any
		want string
	}{
		{[]any{"client", "a[192.0.2.1]"}, ` client=a[192.0.2.1]`},
		{[]any{"client", "evil\n[ERROR] millrace: forged\x1b[2J\r[192.0.2.1]"}, ` client="evil\n[ERROR] millrace: forged\x1b[2J\r[192.0.2.1]"`},
		{[]any{"a", 1, "client", "x\ny", "b", 2, "error", errors.New("p\nq"), "c", "3"}, ` a=1 client="x\ny" b=2 error="p\nq" c=3`},
		{[]any{"client", "x\ny", "error", "p\nq"}, ` client="x\ny" error="p\nq"`},
		{[]any{"client", "x\n  | y\n  key=\n  | z\n  a=b"}, ` client="x\n  | y\n  key=\n  | z\n  a=b"`},
		{[]any{"client", `x"` + "\n" + `" ok=true`}, ` client="x\"\n\" ok=true"`},
		{[]any{"client", "\n"}, ` client=""`},
		{[]any{"client", "\n\n\nx"}, ` client="\n\n\nx"`},
		{[]any{"client", "x\n", "b", 2}, ` client="x" b=2`},
		{[]any{"list", []string{"x\ny", "z"}}, ` list=["x\ny", "z"]`},
	} {
		if got, want := logged("closed", tt.args...), "[WARN]  millrace: closed:"+tt.want+"\n"; got != want {
			t.Errorf("%q:\ngot  %swant %s", tt.args, got, want)
		}
	}
	if got, want := logged("panic serving\nstack=\n one"), `[WARN]  millrace: panic serving\nstack=\n one`+"\n"; got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func FuzzLogIsOneLine(f *testing.F) {
	f.Add("m", "k", "v\n  | w", "x\n  k=\n  | y")
	f.Add("", "", "\n", "\r\n\x00\u2028")
	f.Fuzz(func(t *testing.T, msg, key, one, two string) {
		line := logged(msg, key, one, "two", two)
		if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") {
			t.Errorf("%q", line)
		}
	})
}
