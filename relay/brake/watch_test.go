package brake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// rig is a Watch, with the orders that it has given.
type rig struct {
	*Watch
	orders []relay.Act
	fail   atomic.Pointer[error] // of an order
}

// newRig returns a rig whose sites below "mx.gmail" are of provider gmail.
func newRig(t *testing.T, after int) *rig {
	r := new(rig)
	r.Watch = New(Config{Enabled: true, After: after}, Deps{
		Provider: func(site string) string {
			if strings.HasPrefix(site, "mx.gmail") {
				return "gmail"
			}
			return ""
		},
		Order: func(_ context.Context, act relay.Act) error {
			if err := act.Validate(time.Now()); err != nil {
				return err
			}
			if fail := r.fail.Load(); fail != nil {
				return *fail
			}
			r.orders = append(r.orders, act)
			return nil
		},
		Log: hclog.NewNullLogger(),
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { r.Run(ctx); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

var (
	news = relay.FlowName{Name: "news", Sender: "a.example"}
	shop = relay.FlowName{Name: "shop", Sender: "a.example"}

	unauthenticated = smtp.Reply{Code: 550, Enhanced: "5.7.26", Lines: []string{"This mail is unauthenticated"}}
	taken           = smtp.Reply{Code: 250, Enhanced: "2.0.0", Lines: []string{"ok"}}
)

// hear tells of an answer to a campaign at a site.
func (r *rig) hear(flow relay.FlowName, site string, o relay.Outcome, reply smtp.Reply) {
	m := &relay.Message{Slip: &relay.Slip{Flow: flow}}
	r.Event(&relay.Event{Kind: relay.EventSettled, Time: time.Now(), Message: m, Node: &relay.Node{Message: m}, Site: site, Outcome: o, Reply: reply})
}

func (r *rig) refuse(n int, flow relay.FlowName, site string) {
	for range n {
		r.hear(flow, site, relay.Bounced, unauthenticated)
	}
}

func (r *rig) take(n int, flow relay.FlowName, site string) {
	for range n {
		r.hear(flow, site, relay.Sent, taken)
	}
}

// TestStop: after so many refusals the campaign is paused at that provider, and nothing else is.
func TestStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		urgent := news
		urgent.Urgent = true
		r.refuse(2, news, "mx.gmail1")
		r.refuse(2, urgent, "mx.gmail2")
		r.refuse(4, shop, "mx.gmail1")
		r.refuse(4, news, "mx.other")
		synctest.Wait()
		if len(r.orders) > 0 || r.Holds(news, "mx.gmail1").Waits() {
			t.Fatalf("stopped too early: %+v", r.orders)
		}
		full := errors.New("the disk is full")
		r.fail.Store(&full)
		r.refuse(1, news, "mx.gmail1")
		for site, want := range map[string]bool{"mx.gmail1": true, "mx.gmail9": true, "mx.other": false} {
			if why := r.Holds(urgent, site); why.Waits() != want || want && (why.Kind != relay.ReasonPause || !why.Until.After(time.Now()) || !strings.Contains(why.Text, "5.7.26")) {
				t.Errorf("%s: %+v", site, why)
			}
		}
		if r.Holds(shop, "mx.gmail1").Waits() {
			t.Error("another campaign waits")
		}
		r.refuse(20, news, "mx.gmail1") // what was under way
		time.Sleep(time.Minute)
		r.fail.Store(nil)
		time.Sleep(retryAfter)
		synctest.Wait()
		want := relay.Selector{Campaign: "news", Sender: "a.example", Site: "gmail"}
		if len(r.orders) != 1 || r.orders[0].Verb != relay.VerbPause || r.orders[0].Selector != want || r.orders[0].Who != Who ||
			r.orders[0].Reason != "5 of the last 5 answers refuse its sender: 550 5.7.26 This mail is unauthenticated" {
			t.Errorf("%+v", r.orders)
		}
		if r.Holds(news, "mx.gmail1").Waits() {
			t.Error("the pause is in force, and something else holds the mail: it could not be resumed")
		}
		r.refuse(4, news, "mx.gmail1") // after the pause
		synctest.Wait()
		if len(r.orders) != 1 {
			t.Errorf("the count did not begin anew: %+v", r.orders)
		}
		r.refuse(1, news, "mx.gmail1")
		synctest.Wait()
		if len(r.orders) != 2 {
			t.Errorf("not stopped again: %+v", r.orders)
		}
	})
}

// TestEnough: when a mixture of answers stops a campaign.
func TestEnough(t *testing.T) {
	for _, c := range []struct {
		answers string // "s" sent, "r" refused
		want    int    // answers until the stop; 0: never
	}{
		{strings.Repeat("r", 20), 5},
		{strings.Repeat("sr", 20), 10}, // five of the nine that are counted
		{strings.Repeat("rs", 20), 9},
		{strings.Repeat("rss", 20), 0},
		{strings.Repeat("s", 1000) + strings.Repeat("r", 20), 1005}, // nothing was counted before the first refusal
		{"r" + strings.Repeat("s", 1000) + strings.Repeat("r", 20), 1007},
		{strings.Repeat("srr", 20), 8},
		{"rrrrsssssrrrrrr", 15}, // more than half of the last ten
		{strings.Repeat("rrrrssssss", 20), 0},
	} {
		synctest.Test(t, func(t *testing.T) {
			r, got := newRig(t, 5), 0
			for i, a := range c.answers {
				if a == 's' {
					r.take(1, news, "mx.gmail1")
				} else {
					r.refuse(1, news, "mx.gmail1")
				}
				if synctest.Wait(); len(r.orders) > 0 {
					got = i + 1
					break
				}
			}
			if got != c.want {
				t.Errorf("%.30s: stopped at %d, want %d", c.answers, got, c.want)
			}
		})
	}
}

// TestSitesOfAProvider: a few of the many sites of a provider refuse a campaign, each once, and the others take it.
func TestSitesOfAProvider(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		for i := range 100 {
			r.refuse(1, news, fmt.Sprint("mx.gmail-refuses", i))
			r.take(2, news, fmt.Sprint("mx.gmail-takes", i))
			r.take(1, shop, fmt.Sprint("mx.gmail-takes", i))
		}
		if synctest.Wait(); len(r.orders) > 0 {
			t.Errorf("%+v", r.orders)
		}
		r.take(10, news, "mx.other") // of another provider
		r.refuse(6, news, "mx.gmail-takes1")
		if synctest.Wait(); len(r.orders) != 1 {
			t.Errorf("not stopped: %+v", r.orders)
		}
	})
}

// TestTwoProviders: a campaign that is stopped at one provider is still counted at the other.
func TestTwoProviders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		r.refuse(4, news, "mx.other")
		r.refuse(5, news, "mx.gmail1")
		synctest.Wait()
		r.take(6, news, "mx.other")
		r.refuse(1, news, "mx.other")
		if synctest.Wait(); len(r.orders) != 1 || r.orders[0].Selector.Site != "gmail" {
			t.Errorf("%+v", r.orders)
		}
		r.SetConfig(Config{Enabled: true, After: 6})
		if len(r.places)+len(r.flows)+r.byAge.Len()+int(r.known.Load()) > 0 {
			t.Error("another configuration goes on with what was counted before it")
		}
		r.refuse(6, news, "mx.other")
		if synctest.Wait(); len(r.orders) != 2 {
			t.Errorf("%+v", r.orders)
		}
	})
}

// TestForgetting: of more campaigns than are known, the one that has not been refused for longest is forgotten.
func TestForgetting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.refuse(1, news, "mx.gmail1")
		r.refuse(1, shop, "mx.gmail1")
		for i := range maxPlaces - 2 {
			r.refuse(1, relay.FlowName{Name: fmt.Sprint(i), Sender: "a.example"}, "mx.gmail1")
		}
		r.refuse(1, news, "mx.gmail1")
		r.refuse(1, relay.FlowName{Name: "new", Sender: "a.example"}, "mx.gmail1") // in the place of shop
		r.refuse(2, shop, "mx.gmail1")
		if synctest.Wait(); len(r.orders) > 0 {
			t.Errorf("%+v", r.orders)
		}
		r.refuse(1, news, "mx.gmail1")
		if synctest.Wait(); len(r.orders) != 1 || r.orders[0].Selector.Campaign != news.Name {
			t.Errorf("%+v", r.orders)
		}
	})
}

// TestWhatCounts: refusals of the sender's for good, whoever words them; and nothing of recipients, of the site, or of our own MTA.
func TestWhatCounts(t *testing.T) {
	reply := func(code int, enhanced, text string) smtp.Reply {
		return smtp.Reply{Code: code, Enhanced: enhanced, Lines: []string{text}}
	}
	for _, c := range []struct {
		name  string
		o     relay.Outcome
		reply smtp.Reply
		want  bool
	}{
		{"gmail SPF", relay.Bounced, reply(550, "5.7.27", "SPF did not pass"), true},
		{"gmail DKIM", relay.Bounced, reply(550, "5.7.30", "DKIM did not pass"), true},
		{"gmail alignment", relay.Bounced, reply(550, "5.7.32", "From: header isn't aligned with either the authenticated SPF or DKIM organizational domain"), true},
		{"gmail DMARC", relay.Bounced, reply(550, "5.7.40", "no DMARC policy"), true},
		{"microsoft", relay.Bounced, reply(550, "5.7.515", "Access denied, sending domain a.example doesn't meet the required authentication level"), true},
		{"5.7.1 with words", relay.Bounced, reply(550, "5.7.1", "Unauthenticated email from a.example is not accepted due to domain's DMARC policy"), true},
		{"for now", relay.Deferred, reply(421, "4.7.26", "unauthenticated"), false},
		{"no such user", relay.Bounced, reply(550, "5.1.1", "no such user"), false},
		{"mailbox full", relay.Bounced, reply(552, "5.2.2", "mailbox full"), false},
		{"our address is listed", relay.Bounced, reply(554, "5.7.1", "your IP address is listed by Spamhaus"), false},
		{"expired", relay.Expired, reply(550, "5.7.26", "unauthenticated"), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.hear(news, "mx.gmail1", c.o, c.reply)
			if synctest.Wait(); (len(r.orders) > 0) != c.want {
				t.Errorf("%s: stopped %v", c.name, len(r.orders) > 0)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.refuse(1, relay.FlowName{}, "mx.gmail1") // nobody's mail
		r.refuse(1, news, "")                      // no site was reached
		r.SetConfig(Config{After: 1})
		r.refuse(1, news, "mx.gmail1")
		if synctest.Wait(); len(r.orders) > 0 {
			t.Errorf("%+v", r.orders)
		}
	})
}

// TestWords: a receiver cannot make an order that is none.
func TestWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.hear(news, "mx.gmail1", relay.Bounced, smtp.Reply{Code: 550, Enhanced: "5.7.26", Lines: []string{"DMARC \x1b[31m\xff", strings.Repeat("ü", 5000)}})
		if synctest.Wait(); len(r.orders) != 1 || len(r.orders[0].Reason) > 500 {
			t.Errorf("%+v", r.orders)
		}
		bad := relay.FlowName{Name: "x\xff", Sender: "a.example"}
		r.refuse(1, bad, "mx.gmail1") // no order can name it
		if synctest.Wait(); len(r.orders) != 1 || r.Holds(bad, "mx.gmail1").Waits() {
			t.Errorf("%+v", r.orders)
		}
	})
}

// TestResumeLine: the command in the log ends the pause and does nothing else, whatever the campaign is called.
func TestResumeLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, b := newRig(t, 1), new(bytes.Buffer)
		r.deps.Log = hclog.New(&hclog.LoggerOptions{Output: b, JSONFormat: true})
		r.refuse(1, relay.FlowName{Name: "a;b$(c)'d", Sender: "a.example"}, "mx.gmail1")
		synctest.Wait()
		const want = `millrace resume --site=gmail --sender=a.example --campaign='a;b$(c)'\\''d'`
		if !strings.Contains(b.String(), want) {
			t.Errorf("%s, want %s", b, want)
		}
	})
}

// TestBounds: many campaigns take bounded memory, and those that are refused now are the ones that are known.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 5)
		for i := range 3 * maxPlaces {
			time.Sleep(time.Second)
			r.refuse(1, relay.FlowName{Name: fmt.Sprint(i), Sender: "a.example"}, fmt.Sprint("mx", i))
		}
		if len(r.places) > maxPlaces || r.byAge.Len() != len(r.places) || len(r.flows) != len(r.places) {
			t.Errorf("%d places, %d by age, %d campaigns", len(r.places), r.byAge.Len(), len(r.flows))
		}
		last := relay.FlowName{Name: fmt.Sprint(3*maxPlaces - 1), Sender: "a.example"}
		r.refuse(4, last, fmt.Sprint("mx", 3*maxPlaces-1))
		if synctest.Wait(); len(r.orders) != 1 {
			t.Errorf("%+v", r.orders)
		}
		time.Sleep(2 * forgetAfter)
		r.refuse(1, news, "mx.gmail1")
		if len(r.places) != 1 || len(r.flows) != 1 || r.byAge.Len() != 1 || r.known.Load() != 1 {
			t.Errorf("%d places after two days", len(r.places))
		}
	})
}

// TestConfig: what cannot be meant.
func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for _, after := range []int{-1, 0, maxAfter + 1} {
		if err := (Config{Enabled: true, After: after}).Validate(); err == nil || !strings.HasPrefix(err.Error(), "after: ") {
			t.Errorf("%d: %v", after, err)
		}
	}
}

func BenchmarkSent(b *testing.B) {
	for _, counted := range []bool{false, true} {
		b.Run(fmt.Sprint("counted ", counted), func(b *testing.B) {
			w := New(DefaultConfig(), Deps{Provider: func(string) string { return "" }, Log: hclog.NewNullLogger()})
			r := &rig{Watch: w}
			if counted {
				r.refuse(1, news, "mx.other")
			}
			m := &relay.Message{Slip: &relay.Slip{Flow: shop}}
			e := &relay.Event{Kind: relay.EventSettled, Message: m, Node: &relay.Node{Message: m}, Site: "mx.other", Outcome: relay.Sent, Reply: taken}
			b.ReportAllocs()
			for b.Loop() {
				w.Event(e)
			}
		})
	}
}
