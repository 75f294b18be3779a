package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// fakeActs does nothing and remembers what it was told.
type fakeActs struct {
	did    []relay.Act
	report relay.ActReport
	err    error
	pauses []relay.Pause
	rows   int
	idle   bool          // no drain is in force
	takes  time.Duration // how long Do takes

	entered chan struct{} // when set, Do closes it and waits for its context
}

func (f *fakeActs) Do(ctx context.Context, a relay.Act) (relay.ActReport, error) {
	f.did = append(f.did, a)
	if f.entered != nil {
		close(f.entered)
		<-ctx.Done()
		return relay.ActReport{}, ctx.Err()
	}
	time.Sleep(f.takes)
	return f.report, f.err
}

func (f *fakeActs) Pauses() []relay.Pause { return f.pauses }

func (f *fakeActs) Shape(by string, most int) (rows []relay.ShapeRow, err error) {
	if by == "colour" {
		return nil, &relay.ActError{Field: "by", Text: "no such word"}
	}
	for i := range min(most, f.rows) {
		rows = append(rows, relay.ShapeRow{Name: fmt.Sprintf("%s-%d", by, i), Total: 10, Ages: [10]int{1, 9: 9}})
	}
	return rows, nil
}

func (f *fakeActs) Draining() (relay.Act, bool) { return relay.Act{}, !f.idle }

func (f *fakeActs) DrainReport() relay.ActReport { return f.report }

// serveActs runs a Server with that lever over a real unix socket, and returns its path.
func serveActs(t *testing.T, src Source, acts Acts) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "c.sock")
	ln, err := Listen(Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	s := New(src, acts, hclog.NewNullLogger())
	done := make(chan error, 1)
	go func() { done <- s.Run(ln) }() // ends by Stop below
	t.Cleanup(func() {
		if err := errors.Join(s.Stop(context.Background()), <-done); err != nil {
			t.Error(err)
		}
	})
	return path
}

// wholeAct has a value for every field.
func wholeAct() relay.Act {
	return relay.Act{
		Verb: relay.VerbPause, Reason: "<too many> complaints", Until: time.Date(2026, 11, 26, 5, 0, 0, 0, time.UTC), DryRun: true, Who: "the pope",
		Selector: relay.Selector{
			Domain: "a.example", Site: "mx.example:25", Sender: "@n.example", Tenant: "shop", Campaign: "autumn", ID: "4bXy1", Class: "remote",
			Older: time.Hour, Lane: "bulk",
		},
	}
}

// TestActArrives whole, but for who it says has sent it.
func TestActArrives(t *testing.T) {
	acts := &fakeActs{report: relay.ActReport{Messages: 1, Recipients: 2, Bytes: 3, Busy: 4, Pauses: 5, Waiting: 6, Done: true}}
	path := serveActs(t, &fakeSource{}, acts)
	got, err := dial(t, path).Act(t.Context(), wholeAct())
	if err != nil || got != acts.report {
		t.Errorf("%+v, %v", got, err)
	}
	want := wholeAct()
	for i, v := 0, reflect.ValueOf(want.Selector); i < v.NumField(); i++ {
		if v.Field(i).IsZero() {
			t.Errorf("the act has no %s, so nobody would see it get lost", v.Type().Field(i).Name)
		}
	}
	want.Who = acts.did[0].Who
	if !reflect.DeepEqual(acts.did, []relay.Act{want}) {
		t.Errorf("did %+v", acts.did)
	}
}

// TestActNamesItsPeer: the kernel says who gave an order, also when the order names somebody else.
func TestActNamesItsPeer(t *testing.T) {
	acts := &fakeActs{report: relay.ActReport{Messages: 7}}
	path := serveActs(t, &fakeSource{}, acts)
	resp := post(t, path, `{"verb":"hold","selector":{"campaign":"autumn"},"reason":"wrong link","who":"the pope"}`)
	if resp.StatusCode != http.StatusOK {
		t.Fatal(resp.Status)
	}
	me := fmt.Sprintf("uid %d, pid %d", os.Getuid(), os.Getpid())
	if who := acts.did[0].Who; !strings.Contains(who, me) || strings.Contains(who, "pope") {
		t.Errorf("who %q, want %q", who, me)
	}
}

// post sends a body as it is.
func post(t *testing.T, path, body string) *http.Response {
	t.Helper()
	resp, err := dial(t, path).http.Post("http://millrace/v1/acts", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp
}

// TestActCannotBeMeant: what cannot be read whole is not done, and the text says why.
func TestActCannotBeMeant(t *testing.T) {
	for _, test := range []struct{ name, body, want string }{
		{"nothing", "", "act: is one JSON object: EOF"},
		{"no JSON", "delete", "act: is one JSON object: invalid character"},
		{"cut off", `{"verb":"delete"`, "unexpected EOF"},
		{"another form", `["delete"]`, "cannot unmarshal array"},
		{"a key that is not known", `{"verb":"delete","selector":{"domian":"a.example"}}`, `unknown field "domian"`},
		{"two acts", `{"verb":"hold"}{"verb":"delete"}`, "nothing after it"},
		{"too long", `{"reason":"` + strings.Repeat("x", maxBodyBytes) + `"}`, "too large"},
		{"an empty value", `{"verb":"delete","selector":{"domain":"","older":3600000000000}}`, "domain: is empty"},
		{"an empty time", `{"verb":"delete","selector":{"domain":"a.example","older":0}}`, "older: is empty"},
		{"no value", `{"verb":"delete","selector":{"Domain":null,"lane":"bulk"}}`, "Domain: is empty"},
	} {
		t.Run(test.name, func(t *testing.T) {
			acts := &fakeActs{}
			path := serveActs(t, &fakeSource{}, acts)
			resp := post(t, path, test.body)
			text, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != http.StatusBadRequest || !strings.Contains(string(text), test.want) {
				t.Errorf("%s: %s, want %q", resp.Status, text, test.want)
			}
			if len(acts.did) > 0 {
				t.Errorf("did %+v", acts.did)
			}
		})
	}
}

// TestActRefusals: who asks gets the words of whoever refuses, and can tell a wrong order from a wrong moment.
func TestActRefusals(t *testing.T) {
	bad := &relay.ActError{Field: "selector", Text: "delete needs one"}
	for _, test := range []struct {
		name string
		src  *fakeSource
		err  error
		is   error
		want string
	}{
		{"a bad act", &fakeSource{}, fmt.Errorf("lever: %w", bad), Refusal("lever: selector: delete needs one"), "lever: selector: delete needs one"},
		{"too many holds", &fakeSource{}, relay.ErrManyActs, nil, relay.ErrManyActs.Error()},
		{"a full disk", &fakeSource{}, errors.New("disk full"), ErrNotNow, "ask again later: disk full"},
		{"recovering", &fakeSource{read: &Progress{Read: 3, Segments: 14}}, errors.New("asked"), ErrNotNow, "recovering, 3 of 14 segments"},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := serveActs(t, test.src, &fakeActs{err: test.err})
			_, err := dial(t, path).Act(t.Context(), relay.Act{Verb: relay.VerbHold})
			if err == nil || test.is != nil && !errors.Is(err, test.is) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%v, want %q", err, test.want)
			}
		})
	}
}

// TestDrainWhileRecovering: a drain is not over because the waiting mail is not read yet.
func TestDrainWhileRecovering(t *testing.T) {
	path := serveActs(t, &fakeSource{read: &Progress{Read: 3, Segments: 14}}, &fakeActs{report: relay.ActReport{Done: true}})
	if r, err := dial(t, path).Drain(t.Context()); !errors.Is(err, ErrNotNow) || r.Done {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestActsJSON is the form that scripts read: a key is never renamed, and times are Unix seconds.
func TestActsJSON(t *testing.T) {
	path := serveActs(t, &fakeSource{}, &fakeActs{
		rows: 1, report: relay.ActReport{Messages: 1, Recipients: 2, Bytes: 3, Busy: 4, Pauses: 5, Waiting: 6, Done: true},
		pauses: samplePauses(),
	})
	for url, want := range map[string]string{
		"/v1/drain": `{"messages":1,"recipients":2,"bytes":3,"busy":4,"pauses":5,"waiting":6,"done":true}` + "\n",
		"/v1/pauses": `{"verb":"pause","selector":{"domain":"a.example","site":"mx.example:25","sender":"@n.example","tenant":"shop","campaign":"autumn",` +
			`"id":"4bXy1","class":"remote","older":3600000000000,"lane":"bulk"},"since":"2026-11-26T04:00:00Z","until":"2026-11-26T05:00:00Z",` +
			`"reason":"<why>","who":"root (uid 0, pid 1)","nodes":7}` + "\n" + `{"verb":"hold","since":"2026-11-26T04:00:00Z","nodes":0}` + "\n",
		"/v1/shape":           `{"name":"site-0","total":10,"ages":[1,0,0,0,0,0,0,0,0,9]}` + "\n",
		"/v1/shape?by=domain": `{"name":"domain-0","total":10,"ages":[1,0,0,0,0,0,0,0,0,9]}` + "\n",
	} {
		if got := fetch(t, path, url); got != want {
			t.Errorf("%s\ngot  %swant %s", url, got, want)
		}
	}
}

func TestActsRoundTrip(t *testing.T) {
	acts := &fakeActs{rows: 30, report: relay.ActReport{Waiting: 6}, pauses: samplePauses()}
	path := serveActs(t, &fakeSource{}, acts)
	c := dial(t, path)
	if got := collect(t, c.Pauses(t.Context())); !reflect.DeepEqual(got, acts.pauses) {
		t.Errorf("pauses %+v", got)
	}
	if got := collect(t, c.Shape(t.Context(), ByDomain, 3)); len(got) != 3 || got[2].Name != "domain-2" || got[2].Ages[9] != 9 {
		t.Errorf("shape %+v", got)
	}
	if got, err := c.Drain(t.Context()); err != nil || got != acts.report {
		t.Errorf("drain %+v, %v", got, err)
	}
	for query, want := range map[string]string{"by=colour": "by: no such word", "most=0": `most: "0" is not between 1 and 10000`, "most=x": `most: "x"`} {
		if _, err := c.get(t.Context(), "/v1/shape?"+query); err == nil || !strings.Contains(err.Error(), "400 Bad Request: "+want) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// TestNoDrain: a drain that was never ordered is not said to be over.
func TestNoDrain(t *testing.T) {
	path := serveActs(t, &fakeSource{}, &fakeActs{idle: true})
	if _, err := dial(t, path).Drain(t.Context()); !errors.Is(err, ErrNoDrain) {
		t.Error(err)
	}
}

func samplePauses() []relay.Pause {
	since := time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)
	return []relay.Pause{
		{
			Verb: relay.VerbPause, Selector: wholeAct().Selector, Since: since, Until: since.Add(time.Hour), Reason: "<why>", Who: "root (uid 0, pid 1)",
			Nodes: 7,
		},
		{Verb: relay.VerbHold, Since: since},
	}
}

// TestActsOfAnOlderDaemon: a daemon without a lever is not said to have no pauses, or to have done anything.
func TestActsOfAnOlderDaemon(t *testing.T) {
	const none = "HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n"
	for name, ask := range map[string]func(*Client) error{
		"act":    func(c *Client) error { _, err := c.Act(t.Context(), relay.Act{Verb: relay.VerbHold}); return err },
		"drain":  func(c *Client) error { _, err := c.Drain(t.Context()); return err },
		"pauses": func(c *Client) error { return lastError(c.Pauses(t.Context())) },
		"shape":  func(c *Client) error { return lastError(c.Shape(t.Context(), BySite, 1)) },
	} {
		if err := ask(dial(t, answer(t, none))); !errors.Is(err, errNoLever) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func lastError[T any](walk func(func(T, error) bool)) (last error) {
	walk(func(_ T, err error) bool { last = err; return true })
	return last
}

// TestActWithoutAnAnswer: an act that was sent may be done; one that was not sent is not.
func TestActWithoutAnAnswer(t *testing.T) {
	for name, path := range map[string]string{"hung up": answer(t, ""), "cut off": answer(t, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{\"messages\"")} {
		if _, err := dial(t, path).Act(t.Context(), relay.Act{Verb: relay.VerbHold}); !errors.Is(err, ErrActUnknown) {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := dial(t, filepath.Join(t.TempDir(), "none.sock")).Act(t.Context(), relay.Act{Verb: relay.VerbHold})
	if !errors.Is(err, ErrUnreachable) || errors.Is(err, ErrActUnknown) {
		t.Errorf("nobody there: %v", err)
	}
}

// TestActOutlivesItsClient: an act is done whole although its client leaves.
func TestActOutlivesItsClient(t *testing.T) {
	acts := &waitingActs{}
	actOverPipe(t, 0, acts, func(_ *fakeSource, conn net.Conn) {
		acts.free = make(chan struct{}) // of the bubble
		_, _ = io.WriteString(conn, "POST /v1/acts HTTP/1.1\r\nHost: x\r\nContent-Length: 15\r\n\r\n{\"verb\":\"hold\"}")
		synctest.Wait()
		conn.Close()
		synctest.Wait()
		if n := acts.cut.Load(); n != 0 {
			t.Error("the act is cut off with its client")
		}
		acts.free <- struct{}{} // it is still there
	})
}

// TestStopEndsActs: an act that takes longer than the stop may take is cut off, and its client knows that it may be done.
func TestStopEndsActs(t *testing.T) {
	acts := &fakeActs{entered: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "c.sock")
	ln, err := Listen(Config{Socket: path})
	if err != nil {
		t.Fatal(err)
	}
	s := New(&fakeSource{}, acts, hclog.NewNullLogger())
	done, acted := make(chan error, 1), make(chan error, 1)
	go func() { done <- s.Run(ln) }() // ends by Stop
	c := dial(t, path)
	go func() { _, err := c.Act(t.Context(), relay.Act{Verb: relay.VerbHold}); acted <- err }() // ends by Stop
	<-acts.entered
	soon, cancel := context.WithCancel(t.Context())
	cancel()
	if err := errors.Join(s.Stop(soon), <-done); err != nil {
		t.Error(err)
	}
	if err := <-acted; !errors.Is(err, ErrActUnknown) {
		t.Errorf("the client hears %v", err)
	}
}

// waitingActs is a lever whose acts wait until free is closed.
type waitingActs struct {
	fakeActs
	free chan struct{}
	cut  atomic.Int64 // acts whose context has ended before
}

func (w *waitingActs) Do(ctx context.Context, _ relay.Act) (relay.ActReport, error) {
	select {
	case <-w.free:
	case <-ctx.Done():
		w.cut.Add(1)
	}
	return relay.ActReport{Messages: 1}, nil
}

// TestActsLeaveRoom: acts that wait for each other keep nobody from looking.
func TestActsLeaveRoom(t *testing.T) {
	acts := &waitingActs{free: make(chan struct{})}
	path := serveActs(t, &fakeSource{}, acts)
	results := make(chan error, maxActs+1)
	for range maxActs + 1 { // the one too many is turned away while the others wait
		go func() {
			c := NewClient(path)
			defer c.Close()
			_, err := c.Act(context.Background(), relay.Act{Verb: relay.VerbHold})
			results <- err
		}()
	}
	if err := <-results; !errors.Is(err, ErrNotNow) || !strings.Contains(err.Error(), "too many orders at once") {
		t.Errorf("the first to end: %v, want ErrNotNow", err)
	}
	if _, err := dial(t, path).Status(t.Context()); err != nil {
		t.Errorf("status: %v", err)
	}
	close(acts.free)
	for range maxActs {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// TestSilentOrderIsDropped: whoever stops in the middle of an order holds a place of the daemon for a moment only.
func TestSilentOrderIsDropped(t *testing.T) {
	overPipe(t, 0, func(_ *fakeSource, conn net.Conn) {
		_, _ = io.WriteString(conn, "POST /v1/acts HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n{\"verb\":")
		begin := time.Now()
		text, _ := io.ReadAll(conn)
		if d := time.Since(begin); d != readTimeout || !strings.Contains(string(text), " 400 ") {
			t.Errorf("held for %s, want %s: %s", d, readTimeout, text)
		}
	})
}

// TestLongAct: an act takes as long as it takes, and its answer arrives all the same, also a bad one.
func TestLongAct(t *testing.T) {
	for want, acts := range map[string]*fakeActs{
		`"messages":1000000`: {takes: time.Minute, report: relay.ActReport{Messages: 1_000_000}},
		"disk full":          {takes: time.Minute, err: errors.New("disk full")},
	} {
		actOverPipe(t, 0, acts, func(_ *fakeSource, conn net.Conn) {
			_, _ = io.WriteString(conn, "POST /v1/acts HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 15\r\n\r\n{\"verb\":\"hold\"}")
			if text, err := io.ReadAll(conn); !strings.Contains(string(text), want) {
				t.Errorf("%s, %v, want %s", text, err, want)
			}
		})
	}
}

// FuzzAct: no body makes an act that names who sent it, and an act that is written is read as the same.
func FuzzAct(f *testing.F) {
	whole, _ := json.Marshal(wholeAct())
	for _, seed := range []string{
		string(whole), "", "{}", `{"verb":"hold","selector":{"older":1e9}}`, `{"until":"2026-11-26T05:00:00+01:00"}`, `{"VERB":"hold","verb":"delete"}`,
		`{"selector":null}`, `null`, `{"reason":"\u0000"}`, "{\"reason\":\"\xff\"}", `{"who":"x"} `, `{}{}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		a, err := readAct(strings.NewReader(body))
		if err != nil {
			if !errors.As(err, new(*relay.ActError)) {
				t.Fatalf("%q: %v blames nobody", body, err)
			}
			return
		}
		if a.Who != "" {
			t.Fatalf("%q: who %q", body, a.Who)
		}
		text, err := json.Marshal(a)
		if err != nil {
			t.Fatalf("%q: %v", body, err)
		}
		again, err := readAct(strings.NewReader(string(text)))
		if err != nil || !again.Until.Equal(a.Until) || again.Selector != a.Selector || again.Verb != a.Verb || again.Reason != a.Reason {
			t.Fatalf("%q: %+v, then %+v, %v", body, a, again, err)
		}
	})
}
