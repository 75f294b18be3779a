package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"
)

// TestRun is the demonstration in small: one domain of each character, a body that is partly personal; with an MTA and without.
func TestRun(t *testing.T) {
	t.Run("with an MTA", func(t *testing.T) { testRun(t, false) })
	t.Run("without an MTA", func(t *testing.T) { testRun(t, true) })
}

func testRun(t *testing.T, noMTA bool) {
	var out, progress bytes.Buffer
	o := DefaultOptions()
	o.Messages, o.Size, o.Domains, o.Personal = 300, 3000, len(kinds), 0.5
	o.NoMTA, o.JSON, o.Out, o.Progress = noMTA, true, &out, &progress
	if err := Run(context.Background(), o); err != nil {
		t.Fatalf("%v\n%s%s", err, &out, &progress)
	}
	var got reckoning
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if !got.addsUp(o.Messages) || got.Sent == 0 || got.Bounced == 0 || got.Waiting != o.Messages/len(kinds) || progress.Len() > 0 {
		t.Errorf("%+v\n%s", got, &progress)
	}
}

func TestRunEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	o := DefaultOptions()
	o.Domains = 1
	if err := Run(ctx, o); err == nil || !strings.Contains(err.Error(), "canceled") {
		t.Errorf("%v, want canceled", err)
	}
}

func TestAddsUp(t *testing.T) {
	for _, test := range []struct {
		name string
		r    reckoning
		want bool
	}{
		{"all ends", reckoning{Taken: 10, Sent: 7, Bounced: 2, Waiting: 1}, true},
		{"not all taken", reckoning{Taken: 9, Sent: 9}, false},
		{"lost", reckoning{Taken: 10, Sent: 9, Lost: 1}, false},
		{"twice", reckoning{Taken: 10, Sent: 10, Duplicates: 1}, false},
		{"altered", reckoning{Taken: 10, Sent: 10, Altered: 1}, false},
		{"lost and doubled", reckoning{Taken: 10, Sent: 10, Lost: 1, Duplicates: 1}, false},
	} {
		if got := test.r.addsUp(10); got != test.want {
			t.Errorf("%s: %t", test.name, got)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, test := range []struct {
		change func(*Options)
		want   string
	}{
		{func(*Options) {}, ""},
		{func(o *Options) { o.Messages = 0 }, "--messages 0"},
		{func(o *Options) { o.Size = 20 << 20 }, "--size 20971520"},
		{func(o *Options) { o.Domains = 1001 }, "--domains 1001"},
		{func(o *Options) { o.Personal = 1.5 }, "--personal 1.5"},
	} {
		o := DefaultOptions()
		test.change(&o)
		err := o.Validate()
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.HasPrefix(err.Error(), test.want+": give ")) {
			t.Errorf("%v, want %q", err, test.want)
		}
	}
}
