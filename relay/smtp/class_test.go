package smtp

import (
	"bufio"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// sample is one line of testdata/replies.tsv: what an administrator makes of a reply that some server gave.
type sample struct {
	class, scope, at string
	reply            Reply
	origin           string
}

func samples(t testing.TB, file string) []sample {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var list []sample
	for in := bufio.NewScanner(f); in.Scan(); {
		if strings.HasPrefix(in.Text(), "#") {
			continue
		}
		c := strings.Split(in.Text(), "\t")
		if len(c) != 7 {
			t.Fatalf("%d columns: %q", len(c), in.Text())
		}
		code, err := strconv.Atoi(c[3])
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, sample{c[0], c[1], c[2], Reply{Code: code, Enhanced: c[4], Lines: []string{c[5]}}, c[6]})
	}
	return list
}

// score counts one class: replies that have it, that were given it, and both.
type score struct{ have, given, right int }

// near reports whether to take class a for class b has no worse consequence, at a reply of that code: nobody is suppressed,
// and the same people look at it.
func near(a, b Class, code int) bool {
	pair := func(x, y Class) bool { return a == x && b == y || a == y && b == x }
	switch {
	case code/100 == 4:
		return pair(Rate, Greylisting) || pair(Network, Other) // the same message comes again later
	case pair(Reputation, Policy):
		return true // a rule against us, or against all that are like us
	}
	return pair(Auth, Policy)
}

func TestReplies(t *testing.T) {
	byClass, classOf := make(map[string]*score), make(map[string]Class)
	for _, c := range Classes() {
		byClass[c.String()], classOf[c.String()] = &score{}, c
	}
	var all, right, harmless, scoped int
	for _, s := range samples(t, "testdata/replies.tsv") {
		want, known := byClass[s.class]
		if !known || !slices.Contains(scopeNames[:], s.scope) {
			t.Fatalf("no such class or scope: %s/%s %s", s.class, s.scope, s.reply)
		}
		v := Classify(s.reply, s.at)
		got := byClass[v.Class.String()]
		all, want.have, got.given = all+1, want.have+1, got.given+1
		switch {
		case v.Class == BadMailbox && s.class != "bad-mailbox":
			t.Errorf("a living reader: %s (%s at %q), %s", v, s.class, s.at, s.reply)
		case got != want:
			if near(v.Class, classOf[s.class], s.reply.Code) {
				harmless++
			}
			t.Logf("%s, want %s/%s at %q: %s (%s)", v, s.class, s.scope, s.at, s.reply, s.origin)
		default:
			right, want.right = right+1, want.right+1
			if v.Scope.String() == s.scope {
				scoped++
			}
		}
	}
	for _, c := range Classes() {
		n := byClass[c.String()]
		t.Logf("%-12s %4d replies, found %5.1f %%, precision %5.1f %%", c, n.have, percent(n.right, n.have), percent(n.right, n.given))
	}
	t.Logf("%d replies, class right %.1f %%, or near %.1f %%, class and scope right %.1f %%",
		all, percent(right, all), percent(right+harmless, all), percent(scoped, all))
	if percent(right, all) < 95 {
		t.Errorf("%d of %d right", right, all)
	}
}

func percent(part, all int) float64 { return 100 * float64(part) / float64(max(all, 1)) }

// Replies that name a mailbox, an account, or something that does not exist, and yet say nothing against the recipient.
func TestClassifyLivingReaders(t *testing.T) {
	for _, text := range []string{
		"550 5.1.8 Sender address rejected: Domain not found",
		"550 5.7.1 Sender mailbox does not exist",
		"550 Your account has been suspended for sending spam",
		"550 message sending for this account is disabled",
		"550 5.1.1 The user has sent too many messages this hour",
		"550 5.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages",
		"550 5.2.1 Mailbox temporarily disabled",
		"550 5.2.0 Mailbox unavailable, try again later",
		"450 4.2.1 Mailbox disabled",
		"450 Requested mail action not taken: mailbox unavailable",
		"552 5.2.2 The email account that you tried to reach is over quota and inactive",
		"552 User account is full",
		"550 5.7.1 IP address not found in reverse DNS: host unknown",
		"554 5.7.1 <unknown[192.0.2.1]>: Client host rejected: Access denied",
		"550 IP address does not exist in DNS",
		"550 The domain example.org does not exist",
		"550 5.7.1 user does not accept mail from this sender",
		"550 5.7.1 recipient is not accepting mail from you",
		"550 5.1.1 rejected as spam",
		"550 5.1.1 blocked",
		"550 5.7.1 Recipient address rejected: Access denied",
		"550 Recipient address rejected",
		"554 Relay access denied: user not local",
		"535 5.7.8 Authentication failed: invalid user name or password",
		"530 Authentication required: unknown user",
		"550 Unauthenticated: SPF record not found for user domain",
		"554 5.7.5 TLS certificate is no longer valid",
		"552 5.3.4 message too large for this mailbox",
		"421 4.4.2 timed out, user unknown",
		"550 5.7.1 DMARC: mailbox provider does not allow this",
		"554 5.6.0 invalid address in the From: header",
		"550 Postmaster verification failed while checking; response: 550 User unknown",
		"550 5.1.0 sender rejected",
		"550 Requested action not taken: mailbox unavailable. Failure sending mail. Try again later",
		"5.1.0 - Unknown address error 550-'5.7.1 Access denied'",
		"550 5.4.1 Relay access denied",
		"450 4.1.1 Recipient address rejected: unverified address",
		"550 greylisted: unknown user triplet",
		"551 user unknown or mailbox full",
		"550 Destinatario desconocido o mailbox lleno",
		"550 5.2.1 account inactive, over quota",
		"550 5.2.1 The user has received too many messages and is disabled for today",
		"550 Domain example.org has outgoing email disabled",
		"521 5.2.1 We will not accept delivery of this message",
		"550 unknown user: sender not in address book",
		"550 user not found in sender directory",
		"550 account disabled, outgoing spam",
		"550 Unrouteable address. Sender verify failed",
		"550 not a member; recipient list closed",
		"550 5.1.1 relay denied for this recipient",
		"503 No recipients specified",
		"550 mailbox unavailable at this time",
		"550 5.7.1 Mailbox unavailable. Mail from 192.0.2.1 blocked",
		"554 no",
		"550 5.0.0 no",
		"550 5.2.0 no",
		"550 5.7.1 no",
	} {
		r := raw{text: []byte(text)}
		if code, rest, ok := strings.Cut(text, " "); ok && len(code) == 3 {
			r.code, _ = strconv.Atoi(code)
			r.text = []byte(rest)
		}
		if v := Classify(r.reply(), ""); v.Class == BadMailbox && v.Gone() {
			t.Errorf("%s: %s", text, v)
		}
	}
}

// No reply to what comes before RCPT is about a recipient.
func TestClassifyStage(t *testing.T) {
	for at, want := range map[string]string{
		AtBanner: "policy/site", AtEHLO: "policy/site", AtMAIL: "policy/sender", AtRCPT: "bad-mailbox/recipient", AtDot: "bad-mailbox/recipient",
	} {
		if v := Classify(Reply{Code: 550, Enhanced: "5.1.1", Lines: []string{"User unknown"}}, at); v.String() != want {
			t.Errorf("%s: %s", at, v)
		}
	}
	for _, tt := range []struct {
		reply Reply
		at    string
		want  string
	}{
		{Reply{Code: 554, Lines: []string{"no"}}, AtBanner, "other/site"},
		{Reply{Code: 554, Lines: []string{"no"}}, AtMAIL, "other/sender"},
		{Reply{Code: 554, Lines: []string{"no"}}, AtRCPT, "other/recipient"},
		{Reply{Code: 554, Lines: []string{"no"}}, AtDot, "other/message"},
		{Reply{Code: 554, Enhanced: "5.7.1", Lines: []string{"no"}}, AtDot, "policy/message"},
		{Reply{Code: 450, Lines: []string{"no"}}, AtBanner, "rate/site"},
		{Reply{Code: 421, Lines: []string{"closing connection"}}, AtRCPT, "rate/site"},
		{Reply{Code: 552, Lines: []string{"sorry"}}, AtRCPT, "mailbox-full/recipient"},
		{Reply{}, "", "network/site"},
	} {
		if v := Classify(tt.reply, tt.at); v.String() != tt.want {
			t.Errorf("%s at %q: %s, want %s", tt.reply, tt.at, v, tt.want)
		}
	}
}

func TestErrorVerdict(t *testing.T) {
	for _, tt := range []struct {
		err  *Error
		want Verdict
	}{
		{lost(AtDot, io.EOF), Verdict{Network, ScopeSite, false}},
		{lost(AtDot, errProtocol), Verdict{Other, ScopeSite, false}},
		{&Error{Command: AtConnect, Enhanced: "4.4.1", Err: io.EOF}, Verdict{Network, ScopeSite, false}},
		{&Error{Command: AtSTARTTLS, Enhanced: "4.7.5", Err: errors.New("no")}, Verdict{TLS, ScopeSite, false}},
		{local("5.3.4", "too large"), Verdict{Content, ScopeMessage, true}},
		{local("5.6.7", "SMTPUTF8"), Verdict{Content, ScopeMessage, true}},
		{&Error{Code: 554, Command: AtBanner, Lines: []string{"too many connections"}}, Verdict{Rate, ScopeSite, false}},
		{&Error{Permanent: true, Code: 550, Enhanced: "5.1.1", Command: AtRCPT}, Verdict{BadMailbox, ScopeRecipient, true}},
	} {
		if got := tt.err.Verdict(); got != tt.want {
			t.Errorf("%v: %+v, want %+v", tt.err, got, tt.want)
		}
	}
}

func TestVerdictAdvice(t *testing.T) {
	for _, tt := range []struct {
		v              Verdict
		slowDown, gone bool
	}{
		{Verdict{Rate, ScopeSite, false}, true, false},
		{Verdict{Rate, ScopeMessage, false}, true, false},
		{Verdict{Rate, ScopeRecipient, false}, false, false},
		{Verdict{Rate, ScopeSite, true}, false, false},
		{Verdict{Reputation, ScopeSite, false}, true, false},
		{Verdict{Reputation, ScopeSender, false}, false, false},
		{Verdict{Greylisting, ScopeMessage, false}, false, false},
		{Verdict{BadMailbox, ScopeRecipient, true}, false, true},
		{Verdict{BadMailbox, ScopeRecipient, false}, false, false},
		{Verdict{MailboxFull, ScopeRecipient, true}, false, false},
		{Verdict{BadDomain, ScopeRecipient, true}, false, false},
	} {
		if tt.v.SlowDown() != tt.slowDown || tt.v.Gone() != tt.gone {
			t.Errorf("%+v: slow down %v, gone %v", tt.v, tt.v.SlowDown(), tt.v.Gone())
		}
	}
}

func TestClassNames(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range Classes() {
		if c.String() == "" || seen[c.String()] {
			t.Errorf("class %d is called %q", c, c)
		}
		seen[c.String()] = true
	}
	if Class(200).String() != "other" || Scope(200).String() != "unknown" {
		t.Error("a class or scope out of range has a name of its own")
	}
}

// Words that normalise would change can never match.
func TestRulesAreInNormalForm(t *testing.T) {
	for _, r := range slices.Concat(clearRules, vagueRules) {
		for _, all := range r.words {
			for _, words := range alternatives(all) {
				if head, _, _ := strings.Cut(words, " ... "); len(head) < keyLen {
					t.Errorf("%q is shorter than %d bytes", head, keyLen)
				}
				for part := range strings.SplitSeq(words, " ... ") {
					testNormal(t, strings.TrimPrefix(part, "^ "))
				}
			}
		}
	}
	for _, h := range hintWords {
		for word := range strings.SplitSeq(h.words, "|") {
			if len(word) < hintKeyLen {
				t.Errorf("%q is shorter than %d bytes", word, hintKeyLen)
			}
			testNormal(t, word)
		}
	}
}

func testNormal(t *testing.T, words string) {
	t.Helper()
	got, _, _ := normalise(nil, Reply{Lines: []string{words}})
	if strings.TrimSpace(strings.TrimPrefix(got, "^ ")) != strings.TrimSpace(words) {
		t.Errorf("%q is read as %q", words, got)
	}
}

func TestPlainNumber(t *testing.T) {
	for text, want := range map[string]string{
		"[192.0.2.1]":      "ip",
		"192.0.2.1:25":     "ip",
		"IP=192.0.2.1":     "ip ip",
		"1.2.3":            "1.2.3",
		"mx1.192.0.2.1":    "mx1.192.0.2.1",
		"a@192.0.2.1 full": "full",
	} {
		if got, _, _ := normalise(nil, Reply{Lines: []string{text}}); got != "^ "+want+" " {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// The classifier takes whatever a peer sends, and does not care about the case of its letters.
func FuzzClassify(f *testing.F) {
	for _, s := range samples(f, "testdata/replies.tsv")[:50] {
		f.Add(s.reply.Code, s.reply.Enhanced, s.reply.Lines[0], s.at)
	}
	f.Add(0, ".", strings.Repeat("é", 3000), "")
	f.Add(550, "5.", "5.1.1@\xff\x00 {", AtRCPT)
	f.Fuzz(func(t *testing.T, code int, enhanced, text, at string) {
		v := Classify(Reply{Code: code, Enhanced: enhanced, Lines: []string{text}}, at)
		if int(v.Class) >= classes || int(v.Scope) >= scopes {
			t.Fatalf("%d/%d", v.Class, v.Scope)
		}
		if again := Classify(Reply{Code: code, Enhanced: enhanced, Lines: []string{text}}, at); again != v {
			t.Errorf("%s, then %s", v, again)
		}
		if other := Classify(Reply{Code: code, Enhanced: enhanced, Lines: []string{swapCase(text)}}, at); other != v {
			t.Errorf("%s, but %s in the other case", v, other)
		}
	})
}

func swapCase(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' {
			b[i] ^= 0x20
		}
	}
	return string(b)
}

func BenchmarkClassify(b *testing.B) {
	list := samples(b, "testdata/replies.tsv")
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		s := &list[i%len(list)]
		Classify(s.reply, s.at)
		i++
	}
}
