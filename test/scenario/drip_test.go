package scenario

import (
	"fmt"
	"maps"
	"net"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// envelope is one kind of envelope, and where its message must arrive, as "side recipient": "bulk" by Millrace, "local" or
// "remote" by Postfix.
type envelope struct {
	name    string
	mail    string // the argument of MAIL; "": that of a newsletter
	rcpts   []string
	arrives []string
	drips   bool     // such a message may be dripped
	added   []string // arrives too, if it is
}

var envelopes = []envelope{
	{name: "plain", rcpts: []string{"<ann@far.test>"}, arrives: []string{"bulk ann@far.test"}, drips: true},
	{name: "two", rcpts: []string{"<ann@far.test>", "<bob@other.test>"}, arrives: []string{"bulk ann@far.test", "bulk bob@other.test"}, drips: true},
	{name: "plus", rcpts: []string{"<g+tag@far.test>"}, arrives: []string{"bulk g+tag@far.test"}, drips: true},
	{name: "mixed-case", rcpts: []string{"<Bob.Smith@Far.TEST>"}, arrives: []string{"bulk Bob.Smith@Far.TEST"}, drips: true},
	{name: "same-twice", rcpts: []string{"<ann@far.test>", "<ann@far.test>"}, arrives: []string{"bulk ann@far.test"}, drips: true},
	{name: "same-by-case", rcpts: []string{"<ann@far.test>", "<Ann@FAR.test>"}, arrives: []string{"bulk ann@far.test"}, drips: true},
	{name: "notify", mail: "<news@sender.test> RET=HDRS ENVID=Q1", rcpts: []string{"<ann@far.test> NOTIFY=NEVER ORCPT=rfc822;other@else.test"},
		arrives: []string{"bulk ann@far.test"}, drips: true},
	{name: "virtual", rcpts: []string{"<info@virtual.test>"}, arrives: []string{"bulk info@virtual.test"}, drips: true},
	{name: "virtual-to-two", rcpts: []string{"<all@virtual.test>"}, arrives: []string{"bulk all@virtual.test"}, drips: true},
	{name: "canonical", rcpts: []string{"<old@canonical.test>"}, arrives: []string{"bulk old@canonical.test"}, drips: true},
	{name: "recipient-bcc", rcpts: []string{"<ann@copied.test>"}, arrives: []string{"bulk ann@copied.test"}, drips: true, added: []string{"remote archive@copy.test"}},
	{name: "sender-bcc", mail: "<boss@sender.test>", rcpts: []string{"<ann@far.test>"}, arrives: []string{"bulk ann@far.test"}, drips: true, added: []string{"remote sent@copy.test"}},
	{name: "quoted", rcpts: []string{`<"c d"@far.test>`}, arrives: []string{`bulk "c d"@far.test`}},
	{name: "quoted-without-need", rcpts: []string{`<"ann"@far.test>`}, arrives: []string{"bulk ann@far.test"}},
	{name: "two-ats", rcpts: []string{`<"e@f"@far.test>`}, arrives: []string{`bulk "e@f"@far.test`}},
	{name: "utf8", mail: "<news@sender.test> SMTPUTF8", rcpts: []string{"<jürgen@far.test>"}, arrives: []string{"bulk jürgen@far.test"}},
	{name: "ascii-as-utf8", mail: "<news@sender.test> SMTPUTF8", rcpts: []string{"<ann@far.test>"}, arrives: []string{"bulk ann@far.test"}},
	{name: "alias", rcpts: []string{"<info@alias.test>", "<ann@far.test>"}, arrives: []string{"remote info@far.test", "bulk ann@far.test"}},
	{name: "no-domain", rcpts: []string{"<boss>", "<ann@far.test>"}, arrives: []string{"remote boss@mx.postfix.test", "bulk ann@far.test"}},
	{name: "local", rcpts: []string{"<boss@" + LocalDomain + ">", "<ann@far.test>"}, arrives: []string{"local boss@" + LocalDomain, "bulk ann@far.test"}},
}

// dripEvery is how many messages of the same kind have one among them that is dripped.
const dripEvery = 40

// TestDripDoublesNothing: whatever the envelope, and whatever Postfix makes of it, each recipient gets each message once and from
// the right side, also of messages that are dripped. A recipient that Postfix adds gets a copy of these alone.
func TestDripDoublesNothing(t *testing.T) {
	s := beside(t, Options{Receivers: internationalSink(), Main: map[string]string{
		"smtputf8_enable":          "yes",
		"virtual_alias_domains":    "alias.test",
		"virtual_alias_maps":       "inline:{ { info@alias.test = info@far.test }, { info@virtual.test = gone@far.test }, { all@virtual.test = all@virtual.test, gone@far.test } }",
		"recipient_canonical_maps": "inline:{ { old@canonical.test = new@far.test } }",
		"recipient_bcc_maps":       "inline:{ { ann@copied.test = archive@copy.test } }",
		"sender_bcc_maps":          "inline:{ { boss@sender.test = sent@copy.test } }",
		"local_recipient_maps":     "",
	}})
	want := make(map[string]int)
	kinds := make(map[string]*envelope)
	total := 0
	c := dialog(t, s.Addr())
	for i := range envelopes {
		e := &envelopes[i]
		for n := range dripEvery + 1 { // so that it is the turn of one of them
			id := fmt.Sprintf("%s.%d", e.name, n)
			kinds[id] = e
			c.send(e, id)
			for _, a := range e.arrives {
				want[id+" "+a]++
				total++
			}
		}
	}
	c.say(221, "QUIT")
	dripped := drippedIDs(t, s)
	turns := make(map[*envelope]int)
	for id := range dripped {
		e := kinds[id]
		turns[e]++
		for _, a := range e.added {
			want[id+" "+a]++
			total++
		}
	}
	for i := range envelopes {
		if e := &envelopes[i]; (turns[e] > 0) != e.drips {
			t.Errorf("%s: %d messages were dripped", e.name, turns[e])
		}
	}
	if err := s.Wait(t.Context(), total, 2*time.Minute); err != nil {
		t.Error(err)
	}
	time.Sleep(2 * time.Second) // time for a copy too many to arrive
	got := make(map[string]int)
	for d := range s.Sink.All() {
		got[d.ID+" "+d.Listener+" "+d.Rcpt]++
	}
	if !maps.Equal(got, want) {
		for key := range want {
			if got[key] != want[key] {
				t.Errorf("%s: %d, want %d", key, got[key], want[key])
			}
		}
		for key := range got {
			if want[key] == 0 {
				t.Errorf("%s: nobody asked for it", key)
			}
		}
	}
	if q, err := s.Postfix.Queue(); err != nil || len(q) > 0 {
		t.Errorf("Postfix still queues %+v, %v", q, err)
	}
	st, err := s.Millrace.Status()
	if err != nil || st.Doors[0].Dripped != int64(len(dripped)) {
		t.Errorf("%d dripped by the status, %d by Postfix's log, %v", st.Doors[0].Dripped, len(dripped), err)
	}
}

var (
	queued    = regexp.MustCompile(`cleanup\[\d+\]: (\w+): message-id=<(\S+)@sender\.test>`)
	discarded = regexp.MustCompile(`cleanup\[\d+\]: (\w+): milter-discard`)
)

// drippedIDs are the messages that Millrace has taken for all recipients without discarding them, by Postfix's log.
func drippedIDs(t *testing.T, s *Scene) map[string]bool {
	t.Helper()
	log, err := s.Postfix.Log()
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	names := make(map[string]string)
	for _, m := range queued.FindAllStringSubmatch(log, -1) {
		names[m[1]] = m[2]
		if !slices.ContainsFunc(envelopes, func(e envelope) bool { return strings.HasPrefix(m[2], e.name+".") && e.mixed() }) {
			ids[m[2]] = true
		}
	}
	for _, m := range discarded.FindAllStringSubmatch(log, -1) {
		delete(ids, names[m[1]])
	}
	return ids
}

// mixed reports whether some recipients stay with Postfix.
func (e *envelope) mixed() bool {
	return slices.ContainsFunc(e.arrives, func(a string) bool { return !strings.HasPrefix(a, "bulk") })
}

// client is an SMTP client that sends many messages on one connection.
type client struct {
	*textproto.Conn
	t *testing.T
}

func dialog(t *testing.T, addr string) *client {
	t.Helper()
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	c := &client{textproto.NewConn(nc), t}
	c.say(220, "")
	c.say(250, "EHLO app.test")
	return c
}

func (c *client) say(code int, line string) {
	c.t.Helper()
	if line != "" {
		if err := c.PrintfLine("%s", line); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, _, err := c.ReadResponse(code); err != nil {
		c.t.Fatalf("%s: %v", line, err)
	}
}

func (c *client) send(e *envelope, id string) {
	c.t.Helper()
	from := e.mail
	if from == "" {
		from = "<news@sender.test>"
	}
	c.say(250, "MAIL FROM:"+from)
	for _, r := range e.rcpts {
		c.say(250, "RCPT TO:"+r)
	}
	c.say(354, "DATA")
	w := c.DotWriter()
	if _, err := w.Write([]byte(bulkMessage(id))); err != nil {
		c.t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.say(250, "")
}
