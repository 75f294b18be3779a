package bounce

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay/smtp"
)

// oldParser finds the failed addresses of a notification as programs do that know RFC 3464 and not RFC 6533: the addresses of
// type rfc822 in a part message/delivery-status, and if there are none, any address behind a sentence of some mail system in
// the text.
func oldParser(t *testing.T, msg []byte) (failed []string) {
	t.Helper()
	r := readBack(t, msg)
	if r.types[1] == "message/delivery-status" {
		if !isASCII(r.texts[1]) {
			t.Errorf("message/delivery-status has 8-bit bytes:\n%s", r.texts[1])
		}
		for _, g := range r.groups[1:] {
			kind, addr, _ := strings.Cut(g.Get("Final-Recipient"), "; ")
			if kind == "rfc822" && g.Get("Action") == "failed" {
				failed = append(failed, addr)
			}
		}
	}
	if len(failed) == 0 && someSystem.MatchString(strings.ReplaceAll(r.texts[0], "\r\n", " ")) {
		for _, m := range regexp.MustCompile(`<([^>]*@[^>]*)>`).FindAllStringSubmatch(r.texts[0], -1) {
			failed = append(failed, m[1])
		}
	}
	return failed
}

// someSystem are sentences behind which programs look for addresses.
var someSystem = regexp.MustCompile(`(?i)(message|email|mail).{0,12} (could|can) ?not be (delivered|sent)|failed recipients|(un|not )able to deliver|did not receive|` +
	`(could|did) not (deliver|reach)|following (address|recipient)|delivery (failure|problems)|was rejected|undeliverable|created automatically|the (postfix|qmail)`)

// TestOldParsersFindNobodyElse: a receiver's words may name any address, and it must not be taken for the failed one.
func TestOldParsersFindNobodyElse(t *testing.T) {
	for _, tt := range []struct {
		name, from, rcpt string
		want             []string
	}{
		{"ASCII", "news@sender.example", "ann@gone.example", []string{"ann@gone.example"}},
		{"a recipient in UTF-8", "news@sender.example", "用户@gone.example", nil},
		{"a domain in UTF-8", "news@sender.example", "ann@bücher.example", []string{"ann@xn--bcher-kva.example"}},
		{"a sender in UTF-8", "jürgen@sender.example", "ann@gone.example", []string{"ann@gone.example"}},
		{"a sender's domain in UTF-8", "news@bücher.example", "ann@gone.example", []string{"ann@gone.example"}},
		{"both in UTF-8", "jürgen@bücher.example", "用户@bücher.example", nil},
	} {
		for _, action := range []Action{Failed, Expired, Delayed} {
			f := noSuchUser(2) // the receiver's words name <carol@gone.example>
			f.Action = action
			r := report(f)
			r.Message.Slip.From, r.Message.Slip.Rcpts[2].Addr, r.Message.Slip.UTF8 = tt.from, tt.rcpt, true
			header, body, err := Compose(r)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.want
			if action == Delayed {
				want = nil
			}
			if got := oldParser(t, joined(header, body)); !slices.Equal(got, want) {
				t.Errorf("%s, %s: %q has failed, want %q", tt.name, action, got, want)
			}
		}
	}
}

func TestEmbed(t *testing.T) {
	for addr, want := range map[string]string{
		"a.b@c.example": "a.b@c.example", "jürgen@sender.example": `j\x{FC}rgen@sender.example`, "用+=\\\" @x": `\x{7528}\x{2B}\x{3D}\x{5C}"\x{20}@x`, "\U0001F600": `\x{1F600}`,
	} {
		if got := embed(addr); got != want {
			t.Errorf("%q: %s, want %s", addr, got, want)
		}
	}
}

func TestASCIIAddress(t *testing.T) {
	for addr, want := range map[string]string{
		"A@B.Example": "A@B.Example", "a@bücher.example": "a@xn--bcher-kva.example", "ü@b.example": "", "a@\u2028.example": "", "": "", "ü": "",
	} {
		got, ok := smtp.ASCIIAddress(addr)
		if got != want || ok != (want != "" || addr == "") {
			t.Errorf("%q: %q, %v, want %q", addr, got, ok, want)
		}
	}
}
