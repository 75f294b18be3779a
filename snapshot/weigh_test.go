package snapshot

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// heapInUse is the bytes of all that can be reached.
func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestWeighed compares what the budget is charged with what the heap holds, the journal's part included, for several kinds of
// mail: as it waits, and when each node was deferred for a reason of its own. The charge may be too high by three tenths and too low
// by a seventh: the shares of the limit bear that much. There are so many messages of each kind that the journal's buffers, of which it has
// two megabytes more at one time than at another, do not count.
func TestWeighed(t *testing.T) {
	const n = 12_000
	kinds := []struct {
		name   string
		n      int
		header int
		body   func(i int) []byte
		rcpts  func(i int) []relay.Rcpt
		flow   func(i int) relay.FlowName // nil: none
	}{
		{"shared body", n, 1400, shared(20_000), one("u%d@d%d.example"), nil},
		{"small header", n, 300, shared(20_000), one("u%d@d%d.example"), nil},
		{"personal body", n, 1400, personal(20_000), one("u%d@d%d.example"), nil},
		{"personal small body", n, 600, personal(900), one("u%d@d%d.example"), nil},
		{"a domain of its own", n, 600, shared(20_000), func(i int) []relay.Rcpt {
			return []relay.Rcpt{{Addr: fmt.Sprintf("u@d%d.example", i)}}
		}, nil},
		{"a flow of its own", n, 600, shared(20_000), one("u%d@d%d.example"), func(i int) relay.FlowName {
			return relay.FlowName{Tenant: "shop", Name: fmt.Sprintf("<list-%d.sender.example>", i), Sender: fmt.Sprintf("sender-%d.example", i)}
		}},
		{"a hundred recipients", n / 3, 600, shared(20_000), many(100, "u%d@d%d.example"), nil},
		{"a hundred recipients with all parameters", n / 3, 600, shared(20_000), func(i int) []relay.Rcpt {
			rs := many(100, "u%d@d%d.example")(i)
			for k := range rs {
				rs[k].Notify, rs[k].ORcpt = fmt.Sprint("SUCCESS,", "FAILURE"), fmt.Sprintf("rfc822;original-address-%d@somewhere.example", i*100+k)
			}
			return rs
		}, nil},
	}
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			a, err := Open(t.TempDir(), weighedConfig(), nil)
			if err != nil {
				t.Fatal(err)
			}
			defer a.Close()
			if _, err := a.Recover(func(relay.Saved) error { return nil }); err != nil {
				t.Fatal(err)
			}
			b := relay.NewBudget(0)
			q := relay.DefaultQueueConfig()
			m := relay.NewQueueMap(q, relay.Deps{Journal: a, Budget: b})
			m.Open()
			h := relay.NewHandler(m, relay.DefaultRetryConfig(), relay.HandbackConfig{})
			var before, charged int64
			counted := k.n * 3 / 4
			for i := range k.n {
				if i == k.n-counted { // the journal has its buffers by now
					a.Flush()
					before, charged = heapInUse(), b.Used(relay.AccountMail)
				}
				letter := func() *relay.Message {
					slip := &relay.Slip{
						QueueID: fmt.Sprintf("4bXyZ%06d", i), Client: fmt.Sprintf("client%d.example.net[192.0.2.25]", i), Arrived: time.Now(),
						Envelope: relay.Envelope{From: fmt.Sprintf("bounce+%d@example.com", i), Rcpts: k.rcpts(i)},
					}
					if k.flow != nil {
						slip.Flow = k.flow(i)
					}
					return &relay.Message{ID: a.NewID(), Slip: slip, Content: relay.NewContent(relay.Letter{Header: make([]byte, k.header), Body: k.body(i)})}
				}
				msg := letter()
				for m.Accept(msg) != nil {
					time.Sleep(time.Millisecond) // the buffer of a commit is full
					msg = letter()
				}
				if m.Heard(msg, true); i%50 == 0 {
					a.Flush() // the buffers of a journal that is behind would count as memory of mail
				}
			}
			compare := func(when string) {
				t.Helper()
				a.Flush()
				held, asked := heapInUse()-before, b.Used(relay.AccountMail)-charged
				ratio := float64(asked) / float64(held)
				t.Logf("%s: heap %d B a message, charged %d B: %.2f", when, held/int64(counted), asked/int64(counted), ratio)
				if ratio < 0.85 || ratio > 1.3 {
					t.Errorf("%s: %.2f of the heap is charged", when, ratio)
				}
			}
			compare("waiting")
			i := 0
			for range h.Lined() {
				queue := h.Next(t.Context())
				for v := h.Visit(queue); v != nil; v = h.Visit(queue) {
					i++
					v.FailAll(relay.Deferred, smtp.Reply{Code: 450, Enhanced: "4.2.1", Lines: []string{
						fmt.Sprintf("<user%d@example> The user you are trying to contact is receiving mail too quickly, see https://example.net/%d", i, i)}})
					h.Settle(v)
				}
			}
			compare("deferred")
			runtime.KeepAlive(m)
		})
	}
}

func weighedConfig() Config {
	cfg := DefaultConfig()
	cfg.Ack = AckMemory
	return cfg
}

func shared(size int) func(int) []byte {
	body := make([]byte, size)
	return func(int) []byte { return body }
}

func personal(size int) func(int) []byte {
	return func(i int) []byte { return fmt.Append(make([]byte, 0, size), i, string(make([]byte, size-10))) }
}

func one(format string) func(int) []relay.Rcpt { return many(1, format) }

func many(n int, format string) func(int) []relay.Rcpt {
	return func(i int) []relay.Rcpt {
		rs := make([]relay.Rcpt, n)
		for k := range rs {
			rs[k].Addr = fmt.Sprintf(format, i*n+k, k%10)
		}
		return rs
	}
}
