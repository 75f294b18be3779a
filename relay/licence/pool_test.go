package licence

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
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

// TestAReloadAsksAtOnce: after many failures the client waits for minutes, and an admin who has mended the configuration does not.
func TestAReloadAsksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 1000, 100, 24*time.Hour)
		s := x.serve(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		x.down.Store(true)
		go s.client.Run(ctx) // ends with ctx
		time.Sleep(3 * time.Hour)
		x.down.Store(false)
		if err := s.Reload(s.cfg, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := x.asked.Load(); n != 1 || s.sends("", 10) != 10 {
			t.Errorf("asked %d times, %+v", n, s.Status())
		}
	})
}

// TestAnotherSliceBeforeTheFirstIsUsed: a server that sends fast never waits for the next minute.
func TestAnotherSliceBeforeTheFirstIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 100_000, 100, 24*time.Hour)
		s := x.serve(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.client.Run(ctx) // ends with ctx
		synctest.Wait()
		for range 200 {
			if got := s.sends("", 49); got != 49 {
				t.Fatalf("%d of 49, at %d", got, s.count.sent[""])
			}
			synctest.Wait()
		}
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

// TestTheServerAnswers over HTTPS to those it knows.
func TestTheServerAnswers(t *testing.T) {
	x := newHub(t, 1000, 100, time.Hour)
	dir := t.TempDir()
	tokens, mine, ca := filepath.Join(dir, "tokens"), filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	os.WriteFile(tokens, []byte("# servers\nmta1 "+secret+"\nadmin admin-"+secret+"\n"), 0o600)
	os.WriteFile(mine, []byte(secret+"\n"), 0o600)
	s, err := NewServer(x.pool, x.offer, x.key, tokens, func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(s)
	defer web.Close()
	os.WriteFile(ca, pemOf(web), 0o600)
	m := newMeterage(t, func(c *Config) {
		c.Keys = []string{x.key.Public().String()}
		c.Server = ServerConfig{URL: web.URL, TokenFile: mine, CAFile: ca, Every: time.Minute}
	})
	c := NewClient(m.Meter, "test")
	if err := c.ask(t.Context(), m.cfg.Server); err != nil {
		t.Fatal(err)
	}
	if got := m.sends("", 1000); got != 100 {
		t.Errorf("%d", got)
	}
	for _, tt := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"POST", reportPath, "", "{}", 401},
		{"POST", reportPath, "wrong" + secret, "{}", 401},
		{"POST", reportPath, secret, `{"installation":"i","hostname":"h","sent":1,"left":0}`, 200},
		{"POST", reportPath, secret, `{"installation":"i","sent":1,"sent":2,"left":0}`, 400},
		{"POST", reportPath, secret, `{"installation":"","sent":1,"left":0}`, 400},
		{"POST", reportPath, secret, `{"installation":"i","sent":-1,"left":0}`, 400},
		{"POST", reportPath, secret, `{"installation":"i","sent":1,"left":0,"x":1}`, 400},
		{"POST", reportPath, secret, strings.Repeat(" ", maxReport+1), 400},
		{"POST", reportPath, "admin-" + secret, `{"installation":"i","sent":1,"left":0}`, 404},
		{"GET", reportPath, secret, "", 404},
		{"GET", statisticsPath, secret, "", 404},
		{"GET", statisticsPath, "admin-" + secret, "", 200},
	} {
		req, _ := http.NewRequest(tt.method, web.URL+tt.path, strings.NewReader(tt.body))
		if tt.token != "" {
			req.Header.Set("Authorization", "Bearer "+tt.token)
		}
		resp, err := web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s %.60q: %d %s", tt.method, tt.path, tt.body, resp.StatusCode, text)
		}
		if tt.path == statisticsPath && tt.want == 200 && bytes.Count(text, []byte("\n")) != 2 {
			t.Errorf("%s", text)
		}
	}
}

// TestTheClientIsCareful: it follows no redirect with its token, reads no endless answer, and shows no token to a stranger.
func TestTheClientIsCareful(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "token")
	os.WriteFile(mine, []byte(secret), 0o600)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 12 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	elsewhere := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	for _, tt := range []struct {
		h    http.Handler
		want string
	}{{endless, "64 KB"}, {elsewhere, "302 Found"}, {http.NotFoundHandler(), "404 Not Found"}} {
		web := httptest.NewServer(tt.h)
		_, err := postReport(t.Context(), ServerConfig{URL: web.URL, TokenFile: mine}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
		web.Close()
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Error("the token was shown") }))
	web.Config.ErrorLog = quiet
	defer web.Close()
	if _, err := postReport(t.Context(), ServerConfig{URL: web.URL, TokenFile: mine}, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	os.Chmod(mine, 0o644)
	if _, err := postReport(t.Context(), ServerConfig{URL: web.URL, TokenFile: mine}, nil); err == nil || !strings.Contains(err.Error(), "chmod o=") {
		t.Errorf("%v", err)
	}
}

// TestNoTokenInClear: without TLS only this host is asked, and a name that begins like its address is not this host.
func TestNoTokenInClear(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:8443": "", "http://[::1]": "", "http://localhost": "", "https://127.example.org": "",
		"http://127.example.org": "in clear to 127.example.org", "http://10.0.0.1": "in clear to 10.0.0.1",
	} {
		c := DefaultConfig()
		c.Keys = []string{newKey(t).Public().String()}
		c.Server.URL, c.Server.TokenFile = url, "/dev/null"
		if err := c.Validate(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func pemOf(web *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
}

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
