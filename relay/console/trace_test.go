package console

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

var update = flag.Bool("update", false, "write the golden files anew")

// fakeTrace has a value for every field.
func fakeTrace() TraceReport {
	return TraceReport{
		More: true, Since: 1_699_990_000_000, Gaps: []TraceGap{{Since: 1_699_999_000_000, Until: 1_699_999_060_500, Events: 12}},
		Messages: []Trace{
			{
				ID: "3BX9K1", QueueID: "5E1F220", MessageID: "a.1@n.example", Sender: "news@n.example", Size: 18230, Recipients: 2, Rule: "list-unsubscribe",
				Client: "app[192.0.2.7]", FlowListing: relay.FlowListing{Tenant: "shop", Flow: "autumn"}, State: TraceWaiting, MoreEvents: true, Expires: 1_700_172_800,
				Events: []TraceEvent{
					{Time: 1_700_000_000_040, Event: "taken", Delay: 0.04},
					{
						Time: 1_700_000_001_250, Event: "deferred", Recipient: "joe@a.example", Relay: "mx.a.example[192.0.2.1]:25", Site: "mx.a.example:25", Code: 451,
						Reply: "451 4.7.1 <later>", ConnUse: 3, Delay: 1.25, Delays: &[4]float64{0.04, 1, 0.11, 0.1}, MaybeTwice: true,
					},
				},
				Waiting: []relay.ListedRcpt{{Address: "joe@a.example", Domain: "a.example", State: "deferred", Attempts: 1, DelayReason: "451 4.7.1 <later>", NextAttempt: 1_700_000_600, DelayKind: relay.ReasonReply, DelayWho: "x"}},
			},
			{
				ID: "3BX9K0", Notice: true, State: TraceDone, Recipients: 1,
				Events: []TraceEvent{
					{Time: 1_699_999_000_000, Event: "bounced", Recipient: "joe@a.example", Relay: "none", Code: 550, Reply: "550 5.1.1 no"},
					{Time: 1_699_999_001_007, Event: "reported", Recipient: "joe@a.example", Report: "3BX9K2"},
				},
			},
		},
	}
}

// TestTraceIsStable: scripts read the fields of contrib/trace.md. A field may be added there and here, none may change.
func TestTraceIsStable(t *testing.T) {
	got := fetch(t, serve(t, &fakeSource{}), "/v1/trace?recipient=joe@a.example")
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(got), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "trace.json")
	if *update {
		if err := os.WriteFile(golden, indented.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil || indented.String() != string(want) {
		t.Errorf("%v; got\n%s", err, &indented)
	}
	guide, err := os.ReadFile("../../contrib/trace.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[TraceReport](), reflect.TypeFor[Trace](), reflect.TypeFor[TraceEvent](), reflect.TypeFor[TraceGap]()} {
		for _, key := range keysOf(typ) {
			if !strings.Contains(string(guide), "`"+key+"`") {
				t.Errorf("contrib/trace.md does not describe %q of %s", key, typ.Name())
			}
		}
	}
}

// keysOf lists the JSON keys of a struct.
func keysOf(t reflect.Type) (keys []string) {
	for i := range t.NumField() {
		if f := t.Field(i); f.Anonymous {
			keys = append(keys, keysOf(f.Type)...)
		} else if key, _, _ := strings.Cut(f.Tag.Get("json"), ","); key != "" {
			keys = append(keys, key)
		}
	}
	return keys
}

func TestTrace(t *testing.T) {
	src := &fakeSource{}
	c := dial(t, serve(t, src))
	for _, test := range []struct {
		ask, want TraceQuery
		messages  int
	}{
		{TraceQuery{Recipient: "joe@a.example"}, TraceQuery{Recipient: "joe@a.example", Most: 1}, 2},
		{TraceQuery{MessageID: "<a+b&c@x>", Most: 7}, TraceQuery{MessageID: "<a+b&c@x>", Most: 7}, 0},
		{TraceQuery{ID: "4Z#%"}, TraceQuery{ID: "4Z#%", Most: 1}, 0},
	} {
		r, err := c.Trace(t.Context(), test.ask)
		if err != nil || len(r.Messages) != test.messages || *src.traced.Load() != test.want {
			t.Errorf("%+v: %+v, %+v %v", test.ask, src.traced.Load(), r, err)
		}
		if test.messages > 0 && !reflect.DeepEqual(r, fakeTrace()) {
			t.Errorf("%+v", r)
		}
	}
}

func TestTraceOfBadQuestions(t *testing.T) {
	path := serve(t, &fakeSource{})
	for _, test := range []struct{ query, says string }{
		{"", "give one of recipient=, id= and message_id="},
		{"?recipient=", "give one of"},
		{"?recipient=a&id=b", "give one of"},
		{"?id=a&most=0", "is not between 1 and 1000"},
		{"?id=a&most=1001", "is not between 1 and 1000"},
		{"?recipient=broken@a.example", "input/output error"},
	} {
		if _, err := dial(t, path).get(t.Context(), "/v1/trace"+test.query); err == nil || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v", test.query, err)
		}
	}
}

// TestTraceWhileRecovering: what is not found may still come.
func TestTraceWhileRecovering(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{read: &Progress{Read: 1, Segments: 3}}))
	if _, err := c.Trace(t.Context(), TraceQuery{ID: "x"}); err == nil || !strings.Contains(err.Error(), "recovering, 1 of 3") {
		t.Error(err)
	}
	if _, err := c.Trace(t.Context(), TraceQuery{Recipient: "joe@a.example"}); err != nil {
		t.Error(err)
	}
}

func TestMoment(t *testing.T) {
	for _, m := range []Moment{0, 1, 1_700_000_000_040, 1_790_000_000_999, -1500} {
		b, err := json.Marshal(m)
		var back Moment
		if err2 := json.Unmarshal(b, &back); err != nil || err2 != nil || back != m {
			t.Errorf("%d: %s %d %v %v", m, b, back, err, err2)
		}
	}
	for _, text := range []string{`"x"`, "1e300", "true"} {
		if err := json.Unmarshal([]byte(text), new(Moment)); err == nil {
			t.Errorf("%s is a time", text)
		}
	}
}
