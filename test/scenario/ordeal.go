package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/sink"
)

// Ordeal is a campaign while the daemon is killed again and again.
type Ordeal struct {
	Report load.Report
	Kills  int

	Lost       int    // recipients of acknowledged messages who got nothing
	Altered    int    // arrivals with other content or another sender, and those that nobody sent
	Wrong      int    // arrivals by the wrong side; see Sides
	Duplicates int    // arrivals above one for each recipient
	Ours       int    // of these: Millrace's log says of the recipient that he may get it twice
	Postfixs   int    // of the rest: Postfix's log says so of the message
	Clients    int    // of the rest: the client knows, because it has sent the message again
	Silent     int    // of the rest: nobody says so
	What       string // the first of what is wrong

	Sides Sides
}

// Sides counts arrivals by who has sent them to the receiver.
type Sides struct {
	Millrace int // bulk for other hosts
	Fallback int // likewise, by Postfix
	Postfix  int // all other mail
}

// Endure sends a campaign in parts. While a part is sent the daemon is killed, and is away for a moment; the last part it may live. It
// returns when all of the campaign has arrived.
func (s *Scene) Endure(ctx context.Context, c load.Config, kills int) (Ordeal, error) {
	o := Ordeal{}
	c.Addr = s.Entry()
	if s.way.Name == Application.Name {
		c.Others = []string{s.Fallback()}
	}
	all, rng := c.Messages, rand.New(rand.NewPCG(11, uint64(kills)))
	for i := range kills + 1 {
		c.First, c.Messages = i*all/(kills+1), (i+1)*all/(kills+1)-i*all/(kills+1)
		killed := make(chan error, 1)
		if i == kills {
			killed <- nil
		} else {
			go func() { killed <- s.kill(ctx, rng) }() // ends with the daemon's recovery
		}
		r, err := load.Run(ctx, c)
		if err := errors.Join(err, <-killed); err != nil {
			return o, err
		}
		o.Report.Records = append(o.Report.Records, r.Records...)
	}
	o.Kills = kills
	if err := s.settle(ctx, o.Report); err != nil {
		return o, err
	}
	return o, s.judge(&o)
}

// kill kills the daemon when it has taken something, and starts it again. How much that is, and how long the daemon is away, is left to
// chance.
func (s *Scene) kill(ctx context.Context, rng *rand.Rand) error {
	for end := time.Now().Add(time.Minute); ; wait(ctx, 10*time.Millisecond) {
		st, err := s.Millrace.Status()
		if err != nil {
			return err
		}
		if st.Taken > 0 {
			break
		}
		if time.Now().After(end) {
			return errors.New("the daemon takes nothing")
		}
	}
	wait(ctx, time.Duration(rng.IntN(1000))*time.Millisecond)
	if err := s.Millrace.Kill(); err != nil {
		return err
	}
	wait(ctx, time.Duration(rng.IntN(500))*time.Millisecond)
	if err := s.Millrace.Start(); err != nil {
		return err
	}
	_, err := s.Millrace.Recovered()
	return err
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// settle has Postfix offer again what waits with it, until every recipient has the message, and then until nothing moves any more.
func (s *Scene) settle(ctx context.Context, r load.Report) error {
	want := recipientsOf(r)
	for end := time.Now().Add(5 * time.Minute); ; wait(ctx, 200*time.Millisecond) {
		missing := s.missing(want)
		queue, err := s.Postfix.Queue()
		if err != nil {
			return err
		}
		st, err := s.Millrace.Status()
		if err != nil {
			return err
		}
		if missing+len(queue)+int(st.Messages) == 0 {
			return nil
		}
		if time.Now().After(end) || ctx.Err() != nil {
			return fmt.Errorf("%d recipients have nothing, %d messages wait with Postfix, %d with Millrace", missing, len(queue), st.Messages)
		}
		if len(queue) > 0 {
			if err := s.Postfix.Flush(); err != nil {
				return err
			}
		}
	}
}

// recipientsOf are those of acknowledged messages.
func recipientsOf(r load.Report) map[string]bool {
	want := make(map[string]bool)
	for _, rec := range r.Records {
		for _, rcpt := range rec.Rcpts {
			if rec.Acked {
				want[rcpt] = true
			}
		}
	}
	return want
}

// missing counts those who have got nothing yet.
func (s *Scene) missing(want map[string]bool) int {
	got := 0
	seen := make(map[string]bool, len(want))
	for d := range s.Sink.All() {
		if want[d.Rcpt] && !seen[d.Rcpt] {
			seen[d.Rcpt] = true
			got++
		}
	}
	return len(want) - got
}

// judge compares what was sent with what has arrived. Each recipient belongs to one message.
func (s *Scene) judge(o *Ordeal) error {
	bulk, again := make(map[string]bool), make(map[string]int)
	for _, rec := range o.Report.Records {
		bulk[rec.ID] = rec.Bulk
		for _, rcpt := range rec.Rcpts {
			again[rcpt] = rec.Again + rec.Unsure
		}
	}
	c := load.Compare(o.Report.Records, s.Sink.All())
	o.Lost, o.Altered = len(c.Lost), len(c.Altered)+len(c.Phantom)+len(c.Misdelivered)
	if o.Lost+o.Altered > 0 {
		o.What = c.Err().Error()
	}
	arrivals := make(map[string]int)
	for d := range s.Sink.All() {
		arrivals[d.Rcpt]++
		if !o.Sides.count(d, bulk[d.ID]) {
			o.Wrong++
			o.What = fmt.Sprintf("%s for %s came by %s", d.ID, d.Rcpt, d.Listener)
		}
	}
	ours, theirs, err := s.named()
	if err != nil {
		return err
	}
	for rcpt, n := range arrivals {
		o.explain(rcpt, n-1, ours[rcpt], theirs[rcpt], again[rcpt])
	}
	return nil
}

// count counts an arrival, and reports false for one that came by the wrong side.
func (s *Sides) count(d sink.Delivery, bulk bool) bool {
	local := relay.Domain(d.Rcpt) == LocalDomain
	switch {
	case d.Listener == "bulk" && bulk && !local:
		s.Millrace++
	case d.Listener == "remote" && bulk && !local:
		s.Fallback++
	case d.Listener == "remote" && !local, d.Listener == "local" && local:
		s.Postfix++
	default:
		return false
	}
	return true
}

// explain finds out who says of so many additional arrivals that they are possible.
func (o *Ordeal) explain(rcpt string, twice, ours, theirs, again int) {
	o.Duplicates += twice
	part := func(sum *int, most int) {
		n := min(twice, most)
		*sum += n
		twice -= n
	}
	part(&o.Ours, ours)
	part(&o.Postfixs, theirs)
	part(&o.Clients, again)
	if twice > 0 {
		o.Silent += twice
		o.What = "twice, and nobody says so: " + rcpt
	}
}

var (
	mayBeTwice = regexp.MustCompile(`to=<(\S+)> may be delivered twice`)
	mayBeAgain = regexp.MustCompile(`postfix/\S*[sl]mtp\[\d+\]: (\w+): .*may be sent more than once`)
	postfixTo  = regexp.MustCompile(`: (\w+): to=<([^>]*)>`)
)

// named counts, for each recipient, how often Millrace's log and Postfix's say that he may get a message twice.
func (s *Scene) named() (ours, theirs map[string]int, err error) {
	ours, theirs = make(map[string]int), make(map[string]int)
	for _, m := range mayBeTwice.FindAllStringSubmatch(s.Millrace.MailLog(), -1) {
		ours[m[1]]++
	}
	log, err := s.Postfix.Log()
	if err != nil {
		return nil, nil, err
	}
	ids := make(map[string]int)
	for _, m := range mayBeAgain.FindAllStringSubmatch(log, -1) {
		ids[m[1]]++
	}
	for _, m := range postfixTo.FindAllStringSubmatch(log, -1) {
		if n := ids[m[1]]; n > 0 {
			theirs[m[2]] = max(theirs[m[2]], n)
		}
	}
	return ours, theirs, nil
}

// Err says what is wrong, or returns nil.
func (o *Ordeal) Err() error {
	if o.Lost+o.Altered+o.Wrong+o.Silent == 0 {
		return nil
	}
	return fmt.Errorf("%s: %s", o.String(), o.What)
}

// String is the ordeal on one line.
func (o *Ordeal) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d messages to %d recipients, %d kills: %d lost, %d altered, %d by the wrong side", len(o.Report.Records), o.Report.Recipients(), o.Kills, o.Lost, o.Altered, o.Wrong)
	fmt.Fprintf(&b, "; %d duplicates, named by Millrace %d, by Postfix %d, sent again by the client %d, by nobody %d", o.Duplicates, o.Ours, o.Postfixs, o.Clients, o.Silent)
	fmt.Fprintf(&b, "; bulk by Millrace %d, by Postfix as the fallback %d, other mail by Postfix %d", o.Sides.Millrace, o.Sides.Fallback, o.Sides.Postfix)
	return b.String()
}

// AllKinds is a campaign of mail of all kinds: bulk and not, to some recipients here and others elsewhere, so many messages a second.
func AllKinds(messages int, rate float64) load.Config {
	return load.Config{
		Messages: messages, Rate: rate, Conns: 10, Rcpts: 3, MinSize: 1000, MaxSize: 20_000, Plain: 0.3, Personal: 0.3,
		Domains: []string{"d0.test", LocalDomain, "d1.test", "d2.test"}, Attempts: 20, Timeout: time.Minute,
	}
}
