package relay

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// begins is a journal that has everything on record at once, and notes which visits end as if they had never been.
type begins struct {
	NoJournal
	putBack []string
}

func (j *begins) Begin(*Node) Record { return j }

func (*begins) Done() <-chan struct{} {
	done := make(chan struct{})
	close(done)
	return done
}

func (*begins) Err() error { return nil }

func (j *begins) Event(e *Event) {
	if e.Kind == EventPutBack {
		j.putBack = append(j.putBack, e.Node.Domain)
	}
}

// A visit that was begun and ends before its receiver had anything is taken back from the journal; one that was not, or
// that brought something about, is not.
func TestPutBackIsTold(t *testing.T) {
	for _, tt := range []struct {
		name  string
		begun bool
		fates []Outcome
		want  []string
	}{
		{"nothing sent", true, []Outcome{Again, Again}, []string{"x"}},
		{"not begun", false, []Outcome{Again, Again}, nil},
		{"one sent", true, []Outcome{Again, Sent}, nil},
		{"one deferred", true, []Outcome{Deferred, Again}, nil},
	} {
		j := &begins{}
		m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: j})
		m.Open()
		h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
		if err := m.Accept(testMessage("a@x", "b@x")); err != nil {
			t.Fatal(err)
		}
		v := h.Visit(m.line.Pick())
		if tt.begun {
			if _, err := h.Begin(nil, v, 0, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := v.Recorded(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		for i, o := range tt.fates {
			v.Fates = append(v.Fates, Fate{Rcpt: i, Outcome: o, Untried: o == Again, Reply: smtp.Reply{Code: 450}})
		}
		h.Settle(v)
		if !slices.Equal(j.putBack, tt.want) {
			t.Errorf("%s: put back %v, want %v", tt.name, j.putBack, tt.want)
		}
	}
}

// What our MTA must have back does not expire here, however old it is: nobody has tried to deliver it.
func TestHandedBackDoesNotExpire(t *testing.T) {
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
	m.Open()
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	if err := m.Accept(testMessage("a@x")); err != nil {
		t.Fatal(err)
	}
	v := h.Visit(m.line.Pick())
	v.HandBack(smtp.Reply{Code: 451})
	v.Ended = v.Node.Message.Arrived().Add(1000 * time.Hour)
	n := v.Node
	h.Settle(v)
	if n.Class() != ClassInject || !n.handback || h.Status().Expired != 0 {
		t.Errorf("class %q, handed back %v, %+v", n.Class(), n.handback, h.Status())
	}
}

// TestReasonOfThoseWhoWait: one recipient is deferred, the other is visited again at once and gets the message. The first one
// waits for the reason that it was told, although the last visit of the node had none.
func TestReasonOfThoseWhoWait(t *testing.T) {
	m := NewQueueMap(DefaultQueueConfig(), Deps{Journal: NoJournal{}})
	m.Open()
	h := NewHandler(m, DefaultRetryConfig(), HandbackConfig{})
	if err := m.Accept(testMessage("a@x", "b@x")); err != nil {
		t.Fatal(err)
	}
	v := h.Visit(m.line.Pick())
	v.Fates = []Fate{
		{Rcpt: 0, Outcome: Deferred, Reply: smtp.Reply{Code: 450, Enhanced: "4.2.1", Lines: []string{"later"}}},
		{Rcpt: 1, Outcome: Again, Reply: smtp.Reply{Code: 421}},
	}
	h.Settle(v)
	v = h.Visit(m.line.Pick())
	v.FailAll(Sent, smtp.Reply{Code: 250})
	n := v.Node
	h.Settle(v)
	if n.state != stateDeferred || n.Reason() != "450 4.2.1 later" || n.Due().IsZero() {
		t.Errorf("%s until %s because of %q", n.state, n.Due(), n.Reason())
	}
}
