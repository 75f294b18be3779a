package smtpd

import (
	"fmt"
	"strings"
	"testing"
)

// Ends that some server takes for a line end, and dots that some server takes for the dot.
var (
	smuggleEnds = []string{"\n", "\r", "\r\n", "\r\r\n", "\n\r", "\r\n\x00", "\x00\r\n", "\r\x00\n", "\n\x00", "\x00\n", ""}
	smuggleDots = []string{".", "\x00.", ".\x00", ".."}
)

// smuggleVariants are the sequences that could end a message, but for those in which CRLF "." CRLF stands.
func smuggleVariants() (list []string) {
	seen := map[string]bool{}
	for _, before := range smuggleEnds {
		for _, dot := range smuggleDots {
			for _, behind := range smuggleEnds {
				v := before + dot + behind
				if !seen[v] && !strings.Contains(v, "\r\n.\r\n") {
					list, seen[v] = append(list, v), true
				}
			}
		}
	}
	return list
}

// smuggled is what a variant would have taken for the next commands.
const smuggled = "MAIL FROM:<ceo@example.com>\r\nRCPT TO:<victim@example.net>\r\nDATA\r\nSubject: smuggled\r\n\r\npay\r\n"

// smugglePlaces are messages with a variant in the body, at its beginning, within the header, and before it. The client has stuffed
// nothing: no line of theirs begins with a dot but in the variant.
func smugglePlaces(variant string) map[string]string {
	const header = "Subject: news\r\nList-Id: <l.example.com>\r\n"
	return map[string]string{
		"body":    header + "\r\nHello" + variant + smuggled,
		"begin":   header + "\r\n" + variant + smuggled,
		"header":  header + "X-A: b" + variant + "X-B: c\r\n\r\n" + smuggled,
		"at once": variant + header + "\r\n" + smuggled,
	}
}

// normal is the declared normalisation, written another way than the decoder: of content whose lines end with CRLF.
func normal(content string, dots bool) string {
	lines := strings.Split(strings.TrimSuffix(content, "\r\n"), "\r\n")
	for i, line := range lines {
		if dots {
			line = strings.TrimPrefix(line, ".")
		}
		parts := strings.Split(line, "\n")
		for k := range parts {
			if dots && k > 0 && strings.HasPrefix(parts[k], "..") {
				parts[k] = parts[k][1:]
			}
		}
		line = strings.Join(parts, "\x01")
		line = strings.ReplaceAll(strings.ReplaceAll(line, "\r", " "), "\x00", "")
		lines[i] = strings.ReplaceAll(line, "\x01", "\r\n")
	}
	return strings.Join(lines, "\r\n") + "\r\n"
}

// bare reports that content has a CR, LF or NUL that is refused with BareReject.
func bare(content string) bool {
	return strings.ContainsAny(strings.ReplaceAll(content, "\r\n", ""), "\r\n\x00")
}

// smuggler brings messages to one door, and keeps the books.
type smuggler struct {
	*rig
	c      *client
	hello  string
	bdat   bool
	strict bool
	number int
	want   map[string]string // content by case
}

func newSmuggler(t *testing.T, hello string, bdat, strict bool) *smuggler {
	r := start(t, func(s *setup) {
		s.bulk.LocalDomains = []string{"home.example"}
		s.config.MaxErrors = 1 << 30
		if strict {
			s.config.BareNewline = BareReject
		}
	})
	s := &smuggler{rig: r, c: r.pipe(), hello: hello, bdat: bdat, strict: strict, want: map[string]string{}}
	s.c.say(hello+" client.example.com", "250-")
	return s
}

// bring sends one message for a recipient of ours and one of the MTA's, its content in these pieces, and checks the answers.
func (s *smuggler) bring(pieces ...string) {
	s.t.Helper()
	s.number++
	s.c.say("MAIL FROM:<news@example.com>", "250 2.1.0")
	s.c.say(fmt.Sprintf("RCPT TO:<%d@example.net>", s.number), "250 2.1.5")
	s.c.say(fmt.Sprintf("RCPT TO:<%d@home.example>", s.number), "250 2.1.5")
	content := strings.Join(pieces, "")
	if s.bdat {
		for _, p := range pieces {
			s.c.write(fmt.Sprintf("BDAT %d\r\n", len(p)))
			if p != "" {
				s.c.write(p)
			}
			s.c.expect("250 2.0.0")
		}
		s.c.write("BDAT 0 LAST\r\n")
	} else {
		s.c.say("DATA", "354 ")
		for _, p := range append(pieces, ".\r\n") {
			if p != "" {
				s.c.write(p)
			}
		}
	}
	s.answers(content)
}

// answers hears what becomes of the message, and then that nothing else has become of it.
func (s *smuggler) answers(content string) {
	s.t.Helper()
	want := "250 2."
	if s.strict && bare(content) {
		want = "554 5.6.0"
	} else {
		s.want[fmt.Sprint(s.number)] = normal(content, !s.bdat)
	}
	s.c.expect(want)
	if s.hello == "LHLO" {
		s.c.expect(want)
	}
	s.c.say("NOOP", "250 2.0.0 Ok")
}

// settle compares what has arrived with the books.
func (s *smuggler) settle() {
	s.t.Helper()
	type copies struct {
		ours, theirs int
	}
	found := map[string]*copies{}
	note := func(rcpt, from, content string, ours bool) {
		name, _, _ := strings.Cut(rcpt, "@")
		want, known := s.want[name]
		if !known || from != "news@example.com" {
			s.t.Errorf("SMUGGLED: from %s to %s: %q", from, rcpt, content)
			return
		}
		if content != want {
			s.t.Errorf("ALTERED for %s:\n got %q\nwant %q", rcpt, content, want)
		}
		if found[name] == nil {
			found[name] = new(copies)
		}
		if ours {
			found[name].ours++
		} else {
			found[name].theirs++
		}
	}
	for _, m := range s.heart.all() {
		for _, rcpt := range m.Rcpts {
			note(rcpt.Addr, m.From(), content(m), strings.HasSuffix(rcpt.Addr, "@example.net"))
		}
	}
	for _, d := range s.mta.Deliveries() {
		note(d.Rcpt, d.From, string(d.Raw), strings.HasSuffix(d.Rcpt, "@example.net"))
	}
	for name := range s.want {
		if c := found[name]; c == nil || c.ours != 1 || c.theirs != 1 {
			s.t.Errorf("message %s has arrived %+v times", name, c)
		}
	}
}

// TestSmugglingMatrix brings each variant at each place, split everywhere around the variant, by each way in: one message must come of it,
// with the content that the declared normalisation makes, or none.
func TestSmugglingMatrix(t *testing.T) {
	for _, way := range []struct {
		name, hello string
		bdat        bool
	}{{"DATA", "EHLO", false}, {"LMTP", "LHLO", false}, {"BDAT", "EHLO", true}} {
		for _, strict := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", way.name, strict), func(t *testing.T) {
				t.Parallel()
				s := newSmuggler(t, way.hello, way.bdat, strict)
				for _, v := range smuggleVariants() {
					for place, message := range smugglePlaces(v) {
						if way.bdat || !endsEarly(message) {
							s.everySplit(message, v, place == "body" && !strict)
						}
					}
				}
				s.settle()
				t.Logf("%d messages", s.number)
			})
		}
	}
}

// endsEarly reports that the message really ends before its end.
func endsEarly(message string) bool { return endsAt([]byte(message+".\r\n")) != len(message)+3 }

// everySplit brings a message whole, byte by byte around the variant, and if all is set split in two at each place there.
func (s *smuggler) everySplit(message, variant string, all bool) {
	s.t.Helper()
	s.bring(message)
	from := strings.Index(message, variant)
	to := from + len(variant)
	pieces := []string{message[:from]}
	for i := from; i < to; i++ {
		pieces = append(pieces, message[i:i+1])
	}
	s.bring(append(pieces, message[to:])...)
	for i := from; all && i <= to; i++ {
		s.bring(message[:i], message[i:])
	}
}
