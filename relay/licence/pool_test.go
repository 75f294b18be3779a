package licence

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// hub is a licence server without a network, over restarts.
type hub struct {
	t     testing.TB
	path  string
	pool  *Pool
	offer Offer
	key   PrivateKey
	down  atomic.Bool
	mute  atomic.Bool // it notes a report, and its answer is lost
	asked atomic.Int64
}

func newHub(t testing.TB, total, slice uint64, d time.Duration) *hub {
	x := &hub{t: t, path: filepath.Join(t.TempDir(), "pool.json"), offer: Offer{"Example Ltd", total, slice, d}, key: newKey(t)}
	if err := x.offer.Validate(); err != nil {
		t.Fatal(err)
	}
	x.start()
	return x
}

func (x *hub) start() {
	x.t.Helper()
	var err error
	if x.pool != nil {
		if _, err := OpenPool(x.path); !errors.Is(err, ErrInUse) {
			x.t.Errorf("a second server: %v", err)
		}
		x.pool.Close()
	}
	if x.pool, err = OpenPool(x.path); err != nil {
		x.t.Fatal(err)
	}
}

var errDown = errors.New("connection refused")

// answers is a Client.post for one server.
func (x *hub) answers(server string) func(context.Context, ServerConfig, []byte) ([]byte, error) {
	return func(_ context.Context, _ ServerConfig, body []byte) ([]byte, error) {
		if x.down.Load() {
			return nil, errDown
		}
		x.asked.Add(1)
		var r Report
		if err := decode(body, &r); err != nil {
			x.t.Error(err)
		}
		a, err := x.pool.Report(server, r, x.offer, x.key, time.Now())
		if err != nil || x.mute.Load() {
			return nil, errors.Join(err, io.ErrUnexpectedEOF)
		}
		return json.Marshal(a)
	}
}

// served is a Meter with a client of the hub.
type served struct {
	*meterage
	client *Client
	hub    *hub
	name   string
}

func (x *hub) serve(t *testing.T, name string) *served {
	m := newMeterage(t, func(c *Config) {
		c.Keys = []string{x.key.Public().String()}
		c.Server = ServerConfig{URL: "https://licence.example", TokenFile: "/dev/null", Every: time.Minute}
	})
	s := &served{meterage: m, hub: x, name: name}
	s.connect()
	return s
}

func (s *served) connect() {
	s.client = NewClient(s.Meter, "test")
	s.client.post = s.hub.answers(s.name)
}

func (s *served) ask() error { return s.client.ask(context.Background(), s.cfg.Server) }

// TestTwoServersShare: two servers send as much as they can, out of 10,000, with slices of 500. Each restarts, answers get lost, and the
// licence server is restarted too. Nothing is exceeded, and all of it can be used.
func TestTwoServersShare(t *testing.T) {
	for seed := range uint64(2) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			x := newHub(t, 10_000, 500, 24*time.Hour)
			both := []*served{x.serve(t, "a"), x.serve(t, "b")}
			for _, s := range both {
				s.count.count("", r.IntN(5000), 0) // what was sent before the pool is not of it
			}
			before := both[0].count.sent[""] + both[1].count.sent[""]
			for range 500 {
				s := both[r.IntN(2)]
				time.Sleep(time.Duration(r.IntN(60)) * time.Second)
				x.mute.Store(r.IntN(10) == 0)
				switch r.IntN(20) {
				case 0:
					s.start()
					s.connect()
				case 1:
					x.start()
				case 2, 3, 4:
					_ = s.ask()
				case 5:
					s.count.count("", 0, int(min(s.count.left[""], uint64(r.IntN(50))))*-1) // returned to their senders
				default:
					s.step(r)
				}
				if sent := both[0].count.sent[""] + both[1].count.sent[""] - before; sent > 10_000 {
					t.Fatalf("seed %d: %d sent", seed, sent)
				}
			}
			x.mute.Store(false)
			for range 60 {
				for _, s := range both {
					s.ask()
					s.count.count("", int(s.count.left[""]), -int(s.count.left[""]))
					s.sends("", 500)
				}
			}
			if sent := both[0].count.sent[""] + both[1].count.sent[""] - before; sent != 10_000 {
				t.Errorf("seed %d: %d sent in the end, of 10000", seed, sent)
			}
		})
	}
}

// step takes some messages and delivers some that wait.
func (s *served) step(r *rand.Rand) {
	for range r.IntN(40) {
		n := 1 + r.IntN(3)
		free, why := s.Reserve("", n)
		if why.Waits() {
			break
		}
		s.count.count("", 0, n)
		free()
	}
	n := r.IntN(40)
	n = int(min(uint64(n), s.count.left[""]))
	s.count.count("", n, -n)
}

// TestAnExpiredSliceComesBack: a server that was not heard of for the life of its slice has used it; the other has got it too. The total is
// exceeded by that slice, and by no more when the first comes back.
func TestAnExpiredSliceComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 10_000, 500, 24*time.Hour)
		a, b := x.serve(t, "a"), x.serve(t, "b")
		a.ask()
		a.sends("", 1000) // 500 of them, and nobody is told
		time.Sleep(25 * time.Hour)
		for range 40 {
			b.ask()
			b.sends("", 500)
		}
		if got := b.count.sent[""]; got != 10_000 {
			t.Errorf("the other sent %d", got)
		}
		x.start()
		if err := a.ask(); err == nil || !strings.Contains(err.Error(), "all of the 10000 recipients") {
			t.Errorf("%v", err)
		}
		if got := a.sends("", 10); got != 0 || a.count.sent[""]+b.count.sent[""] != 10_500 {
			t.Errorf("%d more; %d and %d", got, a.count.sent[""], b.count.sent[""])
		}
	})
}

// TestTheServerIsAwayForADay: mail flows until the slice ends, or is used up; then it is left. When the server is back it flows within the
// longest wait.
func TestTheServerIsAwayForADay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 1_000_000, 50_000, 24*time.Hour)
		s := x.serve(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { s.Run(ctx); done <- struct{}{} }()        // ends with ctx
		go func() { s.client.Run(ctx); done <- struct{}{} }() // ends with ctx
		if _, why := s.Reserve("", 1); !strings.Contains(why.Text, "has given no slice") {
			t.Errorf("%+v", why)
		}
		if why := s.refusing(); !strings.Contains(why, "has given no slice") {
			t.Errorf("the status has no reason but %q", why)
		}
		synctest.Wait()
		hour := func(want int) {
			t.Helper()
			if got := s.sends("", 1000); got != want {
				t.Errorf("at %s: %d, want %d", time.Now().Format("02 15:04"), got, want)
			}
			time.Sleep(time.Hour)
		}
		hour(1000)
		if n := x.asked.Load(); n < 50 {
			t.Errorf("%d reports in an hour", n)
		}
		x.down.Store(true)
		asked := x.asked.Load()
		for range 20 {
			hour(1000)
		}
		if st := s.Status(); st.ServerError == "" || st.Slice == nil {
			t.Errorf("%+v", st)
		}
		for range 6 {
			time.Sleep(time.Hour)
		}
		hour(0)
		x.down.Store(false)
		time.Sleep(mostWait)
		hour(1000)
		if x.asked.Load() == asked || s.Status().ServerError != "" {
			t.Errorf("%d reports, %+v", x.asked.Load()-asked, s.Status())
		}
		cancel()
		<-done
		<-done
	})
}

// TestASliceIsHeldOverARestart: and a slice that is not for this installation, or forged, leaves the one that is held.
func TestASliceIsHeldOverARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 10_000, 500, 24*time.Hour)
		a, b := x.serve(t, "a"), x.serve(t, "b")
		if err := errors.Join(a.ask(), b.ask()); err != nil {
			t.Fatal(err)
		}
		for _, foreign := range [][]byte{b.state.Slice, signed(t, sample(), newKey(t)), signed(t, sample(), x.key), nil} {
			if err := a.takeSlice(foreign, time.Now()); err == nil {
				t.Error("it was taken")
			}
		}
		x.down.Store(true)
		a.start()
		if got := a.sends("", 1000); got != 500 {
			t.Errorf("%d", got)
		}
		a.disk = nil // another state directory
		a.start()
		a.connect()
		if got := a.sends("", 1000); got != 0 {
			t.Errorf("a new installation: %d", got)
		}
		x.down.Store(false)
		if err := a.ask(); err != nil || a.sends("", 1000) != 500 {
			t.Errorf("%v", err)
		}
	})
}

// TestASliceIsNoLicence without limits: who installs it as a licence may send up to its ceiling.
func TestASliceIsNoLicence(t *testing.T) {
	x := newHub(t, 1000, 100, time.Hour)
	m := newMeterage(t, func(c *Config) { c.Keys, c.Evaluation = []string{x.key.Public().String()}, 5 })
	m.count.count("", 70, 0)
	a, err := x.pool.Report("a", Report{Installation: m.Status().Installation}, x.offer, x.key, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(a.Slice, m.keys)
	if err != nil {
		t.Fatal(err)
	}
	m.Reload(m.cfg, &l)
	if got := m.sends("", 1000); got != 30 {
		t.Errorf("%d, want 30 up to the ceiling of 100", got)
	}
}

// TestThePoolIsDamaged: a pool that cannot be read is not begun anew: it would hand out everything twice.
func TestThePoolIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pool.json")
	for _, text := range []string{"", "{", `{"version":2}`, `{"version":1,"accounts":[null]}`} {
		os.WriteFile(path, []byte(text), 0o600)
		if _, err := OpenPool(path); err == nil || !strings.Contains(err.Error(), "nobody knows what was handed out") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestNothingIsGivenThatIsNotDurable: the file cannot be written.
func TestNothingIsGivenThatIsNotDurable(t *testing.T) {
	x := newHub(t, 1000, 100, time.Hour)
	x.pool.path = filepath.Join(t.TempDir(), "none", "pool.json")
	if a, err := x.pool.Report("a", Report{Installation: "i"}, x.offer, x.key, noon); err == nil || a.Slice != nil {
		t.Errorf("%+v %v", a, err)
	}
}

// TestAServerWithManyInstallations: what old ones have used stays counted.
func TestAServerWithManyInstallations(t *testing.T) {
	x := newHub(t, 1000, 10, time.Hour)
	for i := range 100 {
		r := Report{Installation: fmt.Sprint("i", i), Sent: 50}
		x.pool.Report("a", r, x.offer, x.key, noon.Add(time.Duration(i)*2*time.Hour))
		r.Sent += 5
		x.pool.Report("a", r, x.offer, x.key, noon.Add(time.Duration(i)*2*time.Hour))
	}
	if sent, _ := x.pool.Used(noon.AddDate(1, 0, 0)); sent != 500 || len(x.pool.Accounts) != maxInstallations {
		t.Errorf("%d, %d accounts", sent, len(x.pool.Accounts))
	}
}

const secret = "0123456789abcdef0123456789abcdef"

var quiet = log.New(io.Discard, "", 0)

// TestALargerSliceIsSetAside as long as the server may hold it: until it says that a smaller one has replaced it.
func TestALargerSliceIsSetAside(t *testing.T) {
	x := newHub(t, 10_000, 500, 24*time.Hour)
	for i, s := range []struct {
		left    uint64
		holding string
		aside   uint64
		given   uint64
	}{{500, "", 1000, 1000}, {500, "", 1000, 1000}, {0, "slice-1", 1000, 500}, {0, "slice-1", 1000, 500}, {0, "slice-2", 500, 500}} {
		r := Report{Installation: "i", Left: s.left, Holding: s.holding}
		a, err := x.pool.Report("a", r, x.offer, x.key, noon)
		l, err2 := Open(a.Slice, []PublicKey{x.key.Public()})
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if _, aside := x.pool.Used(noon); aside != s.aside || l.Ceiling != s.given {
			t.Errorf("report %d: %d set aside, want %d; a slice to %d, want %d", i, aside, s.aside, l.Ceiling, s.given)
		}
	}
}
