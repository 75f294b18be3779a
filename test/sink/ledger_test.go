package sink

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
	"unsafe"
)

func TestLedgerKeepsWhatArrived(t *testing.T) {
	l := newLedger(true)
	number := l.addListener("mx.test")
	if l.addListener("mx.test") != number {
		t.Error("a name has two numbers")
	}
	msg := []byte("Received: x\r\nX-Ledger: 7\r\n\r\nbody\r\n")
	l.add(arrival{
		listener: number, tls: true, from: "a@b.test", params: "SIZE=1",
		rcpts:   []recipient{{"c@d.test", "NOTIFY=NEVER"}, {"e@f.test", ""}},
		message: msg,
	})
	sum, core := sums(msg)
	msg[0] = '!' // the session uses its buffer again
	got := l.byID("7")
	if len(got) != 2 || time.Since(got[0].Time) > time.Minute {
		t.Fatalf("ledger: %+v", got)
	}
	want := Delivery{
		Listener: "mx.test", From: "a@b.test", Rcpt: "c@d.test", ID: "7", Sum: sum, Core: core, Size: len(msg), TLS: true,
		Params: Params{"SIZE=1", "NOTIFY=NEVER"}, Raw: []byte("Received: x\r\nX-Ledger: 7\r\n\r\nbody\r\n"), Time: got[0].Time,
	}
	if !reflect.DeepEqual(got[0], want) {
		t.Errorf("got %+v\nwant %+v", got[0], want)
	}
	if got[1].Rcpt != "e@f.test" || got[1].Params.Rcpt != "" {
		t.Errorf("second recipient: %+v", got[1])
	}
}

func TestLedgerAcrossBlocks(t *testing.T) {
	l := newLedger(false)
	l.addListener("x")
	const n = 3*recordsPerBlock + 5
	long := strings.Repeat("r", 200) + "@d.test" // 2.5 MB in all, so that several blocks of text are needed
	for i := range n {
		l.add(arrival{from: "a@b.test", rcpts: []recipient{{addr: long}}, message: fmt.Appendf(nil, "X-Ledger: %d\r\n\r\n", i)})
	}
	i := 0
	for d := range l.all {
		if d.ID != fmt.Sprint(i) || d.Rcpt != long || d.Raw != nil {
			t.Fatalf("delivery %d: %+v", i, d)
		}
		i++
	}
	if i != n || len(l.text) < 2 {
		t.Errorf("%d deliveries in %d blocks of text", i, len(l.text))
	}
	if got := l.byID("4097"); len(got) != 1 {
		t.Errorf("byID: %+v", got)
	}
}

// TestRecordIsSmall: a million records are no burden, because a record has few bytes and no pointer for the garbage
// collector to follow.
func TestRecordIsSmall(t *testing.T) {
	if size := unsafe.Sizeof(record{}); size > 104 {
		t.Errorf("a record takes %d bytes", size)
	}
	typ := reflect.TypeFor[record]()
	for i := range typ.NumField() {
		switch k := typ.Field(i).Type.Kind(); k {
		case reflect.Pointer, reflect.String, reflect.Slice, reflect.Map, reflect.Interface:
			t.Errorf("field %s is a %s", typ.Field(i).Name, k)
		}
	}
}

func TestLedgerCutsWhatIsTooLong(t *testing.T) {
	l := newLedger(false)
	l.addListener("x")
	id := strings.Repeat("x", 1<<17)
	l.add(arrival{rcpts: []recipient{{addr: "a@b"}}, message: []byte("X-Ledger: " + id + "\r\n\r\n")})
	if d, _ := l.at(0); d.Rcpt != "a@b" || len(d.ID) != 1<<16-1 {
		t.Errorf("id of %d bytes, recipient %q", len(d.ID), d.Rcpt)
	}
}

func TestConcurrentReaders(t *testing.T) {
	l := newLedger(true)
	l.addListener("x")
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 500 {
				l.add(arrival{rcpts: []recipient{{addr: "a@b"}}, message: fmt.Appendf(nil, "X-Ledger: %d-%d\r\n\r\n", w, i)})
				_ = l.byID("0-0")
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for d := range l.all {
		seen[d.ID] = true
	}
	if len(seen) != 2000 || l.count() != 2000 {
		t.Errorf("%d ids, %d deliveries", len(seen), l.count())
	}
}

func TestWait(t *testing.T) {
	s, addr := start(t, Config{}, Character{})
	waited := make(chan error)
	go func() { waited <- s.Wait(t.Context(), 1) }() // ends with the delivery below
	dial(t, addr).approach(Between)
	if err := <-waited; err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := s.Wait(ctx, 2); !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 of 2") {
		t.Errorf("Wait: %v", err)
	}
	_ = s.Close()
	if err := s.Wait(t.Context(), 2); !errors.Is(err, ErrClosed) {
		t.Errorf("Wait on a closed sink: %v", err)
	}
}
