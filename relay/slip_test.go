package relay

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
	"unsafe"
)

// packedSlips are slips of all forms.
func packedSlips() map[string]Slip {
	at := time.Unix(1700000000, 5)
	long := strings.Repeat("l", 300)
	many := make([]Rcpt, 200)
	for i := range many {
		many[i] = Rcpt{Addr: fmt.Sprintf("u%d@d%d.example", i, i%7), Notify: strings.Repeat("N", i%3), ORcpt: strings.Repeat("O", i%5)}
	}
	return map[string]Slip{
		"nothing":  {Envelope: Envelope{Rcpts: []Rcpt{{}}}},
		"usual":    {QueueID: "4bXyZ1", Envelope: Envelope{From: "list@n.example", Rcpts: []Rcpt{{Addr: "a@x"}}}, Rule: "list", Client: "app[192.0.2.7]", Arrived: at, Taken: at.Add(time.Second)},
		"all":      {QueueID: "Q", Class: ClassInject, Envelope: Envelope{From: "f@x", Ret: "FULL", EnvID: "e+2D", UTF8: true, Rcpts: []Rcpt{{"a@x", "NEVER", "rfc822;a@x"}, {"b@y", "", "utf-8;é"}}}, Arrived: at, Taken: at},
		"long":     {QueueID: long, Envelope: Envelope{From: long, EnvID: long, Rcpts: []Rcpt{{long, long, long}}}, Arrived: at, Taken: at},
		"many":     {Envelope: Envelope{From: "f@x", Rcpts: many}, Arrived: at, Taken: at},
		"a future": {Envelope: Envelope{Rcpts: []Rcpt{{Addr: "a@x"}}}, Arrived: time.Now().Add(time.Hour).Round(0), Taken: time.Now().Round(0)},
	}
}

// TestPacked: what stood on the slip stands on the packed message.
func TestPacked(t *testing.T) {
	for name, want := range packedSlips() {
		for _, restored := range []time.Time{{}, time.Now()} {
			s := want
			m := &Message{Slip: &s}
			m.pack(nil, restored)
			if m.Slip != nil {
				t.Fatal("the slip is kept")
			}
			if got := *slipOf(m); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %+v, want %+v", name, got, want)
			}
			if n := testing.AllocsPerRun(10, func() { m.From(); m.Class(); m.Rcpt(m.RcptCount() - 1) }); n != 0 {
				t.Errorf("%s: %v allocations to read it", name, n)
			}
			if got := m.restored(); !got.Round(0).Equal(restored.Round(0)) && got.Sub(restored).Abs() > time.Millisecond {
				t.Errorf("%s: restored %v, want %v", name, got, restored)
			}
		}
	}
}

// TestPackedLife: a message from the future counts as new when it is brought back.
func TestPackedLife(t *testing.T) {
	s := packedSlips()["a future"]
	m := &Message{Slip: &s}
	m.pack(nil, time.Now())
	if age := time.Since(m.ageFrom()); age < 0 || age > time.Minute {
		t.Errorf("age %v", age)
	}
}

func FuzzPacked(f *testing.F) {
	f.Add("Q1", "f@x", "", "a@x", "", "b@y", "rfc822;b@y", true)
	f.Fuzz(func(t *testing.T, id, from, envid, first, notify, second, orcpt string, utf8 bool) {
		e := Envelope{From: from, EnvID: envid, UTF8: utf8, Rcpts: []Rcpt{{Addr: first, Notify: notify}, {Addr: second, ORcpt: orcpt}}}
		for n := 1; n <= 2; n++ {
			want := Slip{QueueID: id, Envelope: e}
			want.Rcpts = e.Rcpts[:n]
			s := want
			m := &Message{Slip: &s}
			m.pack(nil, time.Time{})
			if got := *slipOf(m); !reflect.DeepEqual(got, want) {
				t.Fatalf("%+v, want %+v", got, want)
			}
		}
	})
}

// TestMessageIsOneBlock: a message fills a block of the allocator.
func TestMessageIsOneBlock(t *testing.T) {
	if size := unsafe.Sizeof(Message{}); size > 256 {
		t.Errorf("%d bytes", size)
	}
}

func BenchmarkPack(b *testing.B) {
	want := packedSlips()["usual"]
	b.ReportAllocs()
	for b.Loop() {
		s := want
		m := &Message{Slip: &s}
		m.pack(nil, time.Time{})
	}
}
