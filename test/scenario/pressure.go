package scenario

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/sink"
)

// Pressure is a source that brings more bulk than Millrace's receivers take, and other mail beside it that must not notice.
type Pressure struct {
	Lasts time.Duration
	Bulk  load.Config // its Rate must be set; the number of its messages follows
	Other float64     // messages a second that are no bulk, by SMTP; 0: none
	Local float64     // bulk messages a second by sendmail(1), beside Postfix; 0: none
}

// SlowReceiver takes messages over so many connections, and keeps each waiting so long.
type SlowReceiver struct {
	Conns int
	Each  time.Duration
}

// PerSecond is what the receiver takes.
func (r SlowReceiver) PerSecond() float64 { return float64(r.Conns) / r.Each.Seconds() }

// SlowBulk has the receivers of Millrace's mail be slow. Those of the MTA are as fast as before.
func (s *Scene) SlowBulk(r SlowReceiver) error {
	return s.Sink.Change("bulk", sink.Character{Name: "bulk", DotDelay: r.Each, MaxConns: r.Conns})
}

// Stall has the receivers of Millrace's mail answer nothing for a time, and returns when that is over.
func (s *Scene) Stall(after, lasts time.Duration) error {
	time.Sleep(after)
	err := s.Sink.Change("bulk", sink.Character{Name: "bulk", DotDelay: lasts})
	time.Sleep(lasts)
	return errors.Join(err, s.Sink.Change("bulk", sink.Character{Name: "bulk"}))
}

// Impatient is an application like listmonk: it has ten connections for twenty workers, loses a message whose worker waits five seconds
// for one, and loses every message that gets a 4xx.
func Impatient(perSecond float64) load.Config {
	return load.Config{Conns: 10, Workers: 20, PoolWait: 5 * time.Second, MinSize: 4000, Rate: perSecond}
}

// Pressed is what became of a Pressure.
type Pressed struct {
	Bulk, Other load.Report
	Local       []LocalMail
	Gate        []GateView // a sample each tenth of a second, from the begin until the gate is open again
}

// LocalMail is a message of sendmail(1).
type LocalMail struct {
	ID    string
	Begun time.Time
	Took  time.Duration // of the command
}

// GateView is the gate as the daemon's status shows it.
type GateView struct {
	At    time.Time `json:"-"`
	State string    `json:"state"` // the strictest of all mail and of the sites that are shut
	Held  int       `json:"held"`
	Left  int64     `json:"left"`
	Fill  float64   `json:"fill"`

	Memory, MemoryLimit int64 `json:"-"`
}

// gateStates are the states of a gate, the strictest last.
var gateStates = []string{"", "open", "hold", "overflow", "tempfail"}

// Gate asks the daemon for its gate.
func (m *Millrace) Gate() (GateView, error) {
	st, err := m.Status()
	if err != nil {
		return GateView{}, err
	}
	text, err := json.Marshal(st)
	if err != nil {
		return GateView{}, err
	}
	var view struct{ Gate GateView }
	var shut struct {
		Gate struct{ Shut []GateView }
	}
	err = errors.Join(json.Unmarshal(text, &view), json.Unmarshal(text, &shut))
	for _, site := range shut.Gate.Shut {
		if slices.Index(gateStates, site.State) > slices.Index(gateStates, view.Gate.State) {
			view.Gate.State = site.State
		}
	}
	view.Gate.At, view.Gate.Memory, view.Gate.MemoryLimit = time.Now(), st.Memory.Used, st.Memory.Limit
	return view.Gate, err
}

// Press lets a Pressure act on the scene's MTA, and returns when all of its mail was handed in.
func (s *Scene) Press(ctx context.Context, p Pressure) (r Pressed, err error) {
	var wg sync.WaitGroup
	var bulk, other, local, gate error
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.Millrace != nil {
		var watch sync.WaitGroup
		watch.Go(func() { r.Gate, gate = s.Millrace.watchGate(ctx) }) // ends with ctx
		defer func() {
			cancel()
			watch.Wait()
			err = errors.Join(err, gate)
		}()
	}
	c := p.Bulk
	c.Addr, c.Messages = s.Addr(), int(c.Rate*p.Lasts.Seconds())
	wg.Go(func() { r.Bulk, bulk = load.Run(ctx, c) }) // ends with its messages, or ctx
	if p.Other > 0 {
		wg.Go(func() { r.Other, other = load.Run(ctx, s.otherMail(p)) }) // likewise
	}
	if p.Local > 0 {
		wg.Go(func() { r.Local, local = s.submitLocally(ctx, p) }) // likewise
	}
	wg.Wait()
	return r, errors.Join(bulk, other, local)
}

// otherMail is as the mail of a shop: now and then a message, each over a connection of its own.
func (s *Scene) otherMail(p Pressure) load.Config {
	return load.Config{
		Addr: s.Addr(), Messages: int(p.Other * p.Lasts.Seconds()), Rate: p.Other, Conns: 4, PerConn: 1, Plain: 1, MinSize: 3000,
		Prefix: "other", From: "shop@other.test", Domains: []string{"customer.test"}, Seed: 7,
	}
}

const gateLook = 100 * time.Millisecond

// watchGate looks at the gate until ctx is done.
func (m *Millrace) watchGate(ctx context.Context) (list []GateView, err error) {
	for tick := time.NewTicker(gateLook); ; {
		v, err := m.Gate()
		if err != nil {
			return list, err
		}
		list = append(list, v)
		select {
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return list, nil
		}
	}
}

// submitLocally hands bulk in by sendmail(1), one message after the other. A submission that is late does not put off the next one.
func (s *Scene) submitLocally(ctx context.Context, p Pressure) (list []LocalMail, err error) {
	begin := time.Now()
	for i := range int(p.Local * p.Lasts.Seconds()) {
		select {
		case <-time.After(time.Until(begin.Add(time.Duration(float64(i) / p.Local * float64(time.Second))))):
		case <-ctx.Done():
			return list, nil
		}
		m := LocalMail{ID: fmt.Sprint("local", i), Begun: time.Now()}
		cmd := exec.Command("sendmail", "-C", s.Postfix.ConfigDir(), "-f", "list@local.test", fmt.Sprintf("l%d@far.test", i))
		cmd.Env = append(os.Environ(), "MAIL_CONFIG="+s.Postfix.ConfigDir())
		cmd.Stdin = strings.NewReader("X-Ledger: " + m.ID + "\nFrom: list@local.test\nSubject: News\nPrecedence: bulk\nList-Id: <news.local.test>\n" +
			"List-Unsubscribe: <https://local.test/off>\n\nHello.\n")
		if out, err := cmd.CombinedOutput(); err != nil {
			return list, fmt.Errorf("sendmail: %w: %s", err, out)
		}
		m.Took = time.Since(m.Begun)
		list = append(list, m)
	}
	return list, nil
}

// Opens waits until the gate is open again.
func (m *Millrace) Opens(limit time.Duration) (list []GateView, err error) {
	for end := time.Now().Add(limit); ; time.Sleep(gateLook) {
		v, err := m.Gate()
		if list = append(list, v); err != nil || v.State == "open" || v.State == "" {
			return list, err
		}
		if time.Now().After(end) {
			return list, fmt.Errorf("after %s the gate is still in the state %q, %.0f %% full", limit, v.State, 100*v.Fill)
		}
	}
}

// Walk is the states of the gate, one after the other.
func Walk(list []GateView) (states []string) {
	for _, v := range list {
		states = append(states, v.State)
	}
	return slices.Compact(states)
}

// Delays are how long the messages of a report took from the moment they were due to their receivers, the shortest first. A message
// that has not come is missing.
func (s *Scene) Delays(r load.Report) (list []time.Duration, missing int) {
	for i := range r.Records {
		came := s.Sink.ByID(r.Records[i].ID)
		if len(came) == 0 {
			missing++
			continue
		}
		list = append(list, came[0].Time.Sub(r.Records[i].Due))
	}
	slices.Sort(list)
	return list, missing
}

// LocalDelays is Delays for mail of sendmail(1).
func (s *Scene) LocalDelays(mail []LocalMail) (list []time.Duration, missing int) {
	for _, m := range mail {
		came := s.Sink.ByID(m.ID)
		if len(came) == 0 {
			missing++
			continue
		}
		list = append(list, came[0].Time.Sub(m.Begun))
	}
	slices.Sort(list)
	return list, missing
}

// Longest is the longest time that a client waited for the reply to a message.
func Longest(r load.Report) (longest time.Duration) {
	for i := range r.Records {
		longest = max(longest, r.Records[i].Longest)
	}
	return longest
}

// Expected is how many deliveries the mail has when all of it has come.
func (r Pressed) Expected() int { return r.Bulk.Recipients() + r.Other.Recipients() + len(r.Local) }
