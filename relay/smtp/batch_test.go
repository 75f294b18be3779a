package smtp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const chunking = "250-mx.example\r\n250-PIPELINING\r\n250 CHUNKING"

func messages(n int) []*Transaction {
	var txs []*Transaction
	for range n {
		txs = append(txs, message("b@b.example"))
	}
	return txs
}

func checkSent(t *testing.T, back []*Transaction, err error, want int) {
	t.Helper()
	if err != nil || len(back) != want {
		t.Errorf("%v, %d handed back, want %d", err, len(back), want)
	}
	for i, tx := range back {
		if !tx.Results[0].Sent() || tx.ConnUse != i+1 {
			t.Errorf("message %d, use %d: %s", i, tx.ConnUse, outcome(tx.Results[0]))
		}
	}
}

// A batch is one write, and the next one is twice as large, as long as the receiver takes all of it soon.
func TestBatchGrows(t *testing.T) {
	for _, tt := range []struct {
		name     string
		pause    time.Duration
		messages int
		most     int
		writes   int
	}{
		{"quick", 0, 15, 16, 5},                        // 1 2 4 4 4
		{"fewer allowed", 0, 7, 2, 4},                  // 1 2 2 2
		{"slow", 400 * time.Millisecond, 12, 16, 8},    // 1 2 1 2 1 2 1 2
		{"not allowed", 0, 5, 0, 6},                    // by DATA
		{"very slow", 2 * time.Second, 5, 16, 5},       // 1 1 1 1 1
		{"a third", 150 * time.Millisecond, 16, 16, 7}, // 1 2 4 2 4 2 1
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := polite(t, chunking, func(string) { time.Sleep(tt.pause) })
				c.Chunk(tt.most)
				w := c.sock.(*wire)
				before := len(w.written())
				back, err := deliver(c, messages(tt.messages)...)
				checkSent(t, back, err, tt.messages)
				if got := len(w.written()) - before; got != tt.writes {
					t.Errorf("%d writes, want %d", got, tt.writes)
				}
			})
		})
	}
}

// One body that was refused makes the next batch small again: it was sent for nothing.
func TestBatchShrinksWhenRefused(t *testing.T) {
	c := polite(t, chunking, func(string) {})
	c.Chunk(16)
	back, err := deliver(c, messages(7)...)
	checkSent(t, back, err, 7)
	if c.batchRoom != batchMessages {
		t.Errorf("room for %d", c.batchRoom)
	}
	c.adapt(batch{sent: []*flight{{sent: true}, {}, {sent: true}}})
	if c.batchRoom != 1 {
		t.Errorf("room for %d behind a refusal", c.batchRoom)
	}
}

// Messages too large for a batch, empty ones and those with many recipients go by DATA, in their turn.
func TestUnfitForBatch(t *testing.T) {
	var rcpts []string
	for i := range batchRcpts + 1 {
		rcpts = append(rcpts, fmt.Sprintf("r%d@b.example", i))
	}
	large, empty, many := message("b@b.example"), message("b@b.example"), message(rcpts...)
	large.Content, empty.Content = [][]byte{bytes.Repeat([]byte("0123456789abcd\r\n"), maxChunk/16+1)}, nil
	var bodies []int
	c := polite(t, chunking, func(b string) { bodies = append(bodies, len(b)) })
	c.Chunk(16)
	txs := slices.Concat(messages(3), []*Transaction{large, large, empty}, messages(2), []*Transaction{many}, messages(1))
	txs[4] = &Transaction{From: large.From, Rcpts: large.Rcpts, Content: large.Content}
	back, err := deliver(c, txs...)
	checkSent(t, back, err, len(txs))
	if want := []int{21, 21, 21, maxChunk + 16, maxChunk + 16, 0, 21, 21, 21, 21}; !slices.Equal(bodies, want) {
		t.Errorf("got %v, want %v", bodies, want)
	}
}

// What the receiver gets is what was handed out, over a socket too.
func TestChunksOverTCP(t *testing.T) {
	taken := make(chan string, 100)
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, chunking, func(b string) { taken <- b })
	})
	c := dial(t, to, testConfig())
	c.Chunk(16)
	c.batchRoom = batchMessages
	var txs []*Transaction
	for i := range 40 {
		tx := message("b@b.example")
		tx.Content = [][]byte{fmt.Appendf(nil, "X: %d\r\n", i), nil, []byte("\r\n"), bytes.Repeat([]byte(".dots.\r\n"), 200*i), []byte("the end")}
		txs = append(txs, tx)
	}
	back, err := deliver(c, txs...)
	checkSent(t, back, err, 40)
	for i, tx := range txs {
		if got := <-taken; got != string(bytes.Join(tx.Content, nil))+"\r\n" {
			t.Fatalf("message %d was altered", i)
		}
	}
}

// A peer with small buffers that writes each reply before it reads on neither hangs nor makes us hang.
func TestBatchWithSmallBuffers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := serveOver(t, 2048, testConfig(), func(p *peer) {
			p.say("220 mx.example")
			answer(p, chunking, func(string) {})
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Chunk(16)
		back, err := deliver(c, messages(100)...)
		checkSent(t, back, err, 100)
	})
}

// Every message of a batch is cleared before anything of it leaves. One that is not keeps all back, and charges nobody.
func TestBatchCleared(t *testing.T) {
	full := errors.New("disk full")
	for _, fail := range []int{-1, 0, 2} {
		synctest.Test(t, func(t *testing.T) {
			w := newWitness(t, chunking)
			w.c.Chunk(4)
			w.c.batchRoom = 4
			var txs []*Transaction
			for i := range 3 {
				var err error
				if i == fail {
					err = full
				}
				txs = append(txs, w.message(err, fmt.Sprintf("%d@x", i)))
			}
			back, err := deliver(w.c, txs...)
			want, outcomes := "cleared:0@x cleared:1@x cleared:2@x MAIL RCPT BDAT hello RSET MAIL RCPT BDAT hello RSET MAIL RCPT BDAT hello", "sent 250"
			if fail >= 0 {
				want = strings.Join(strings.Fields(want)[:fail+1], " ") + " end"
				outcomes = "again"
			}
			if got := w.story(); got != want || errors.Is(err, full) != (fail >= 0) || w.c.ChunksLost() {
				t.Errorf("%v; got  %s\nwant %s", err, got, want)
			}
			for _, tx := range back {
				if outcome(tx.Results[0]) != outcomes || tx.Results[0].Unknown {
					t.Errorf("%+v, want %s", tx.Results[0], outcomes)
				}
			}
		})
	}
}

// Each message has the time that the receiver spent on it, and knows how many left with it.
func TestBatchTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := polite(t, chunking, func(string) { time.Sleep(10 * time.Second) })
		c.Chunk(4)
		c.batchRoom = 4
		begin := time.Now()
		txs := messages(3)
		if _, err := deliver(c, txs...); err != nil {
			t.Fatal(err)
		}
		for i, tx := range txs {
			if tx.Batch != 3 {
				t.Errorf("message %d in a batch of %d", i, tx.Batch)
			}
			start := time.Duration(i) * 10 * time.Second
			if tx.Started.Sub(begin) != start || tx.Accepted.Sub(begin) != start || tx.Done.Sub(begin) != start+10*time.Second {
				t.Errorf("message %d: %v, %v, %v", i, tx.Started.Sub(begin), tx.Accepted.Sub(begin), tx.Done.Sub(begin))
			}
		}
	})
}

// A batch that cannot be written whole: what has left whole and is answered counts, and what has not is charged to nobody.
func TestBatchCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := serveOver(t, 32<<10, testConfig(), func(p *peer) {
			seen := 0
			p.say("220 mx.example")
			answer(p, chunking, func(string) {
				if seen++; seen == 2 {
					p.say("250 2.0.0 taken")
					time.Sleep(time.Hour) // and reads no more
				}
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Chunk(16)
		c.batchRoom = batchMessages
		txs := messages(16)
		for _, tx := range txs {
			tx.Content = [][]byte{bytes.Repeat([]byte("0123456789abcd\r\n"), 2000)} // more than the wire holds, all together
		}
		back, err := deliver(c, txs...)
		if err == nil || !c.ChunksLost() {
			t.Errorf("%v, lost %v", err, c.ChunksLost())
		}
		count := map[string]int{}
		for _, tx := range back {
			word := outcome(tx.Results[0])
			if tx.Results[0].Unknown {
				word = "unknown"
			}
			count[word]++
		}
		// The third has left whole, and the fourth has not. Too many replies are missing for one to have been left out before.
		if count["sent 250"] != 2 || count["unknown"] != 1 || count["again"] != 1 {
			t.Errorf("got %v", count)
		}
	})
}

// A connection that is given up while the receiver has a part of a batch ends behind the replies to it; before, it ends at once.
func TestGiveUpBatch(t *testing.T) {
	for _, before := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			c := polite(t, chunking, func(string) { time.Sleep(time.Minute) })
			c.Chunk(4)
			c.batchRoom = 4
			txs := messages(2)
			if before {
				txs[1].Cleared = func() error { c.GiveUp(); return nil }
			} else {
				time.AfterFunc(time.Second, c.GiveUp)
			}
			back, err := deliver(c, txs...)
			want := map[bool]string{true: "again", false: "sent 250"}[before]
			if len(back) != 2 || outcome(back[0].Results[0]) != want || outcome(back[1].Results[0]) != want || !errors.Is(err, errGivenUp) {
				t.Errorf("%v: %v, %q", before, err, describe(back))
			}
		})
	}
}

// A 421 in place of the last reply, after a while: a peer that has waited for us may have left a reply out before. One that says that it
// closes for another reason has not, and what it said before counts.
func TestBatchEndsWith421(t *testing.T) {
	for _, tt := range []struct {
		text  string
		pause time.Duration
		want  string
	}{
		{"421 4.3.2 mx.example shutting down", 7 * time.Second, "1 b@b.example sent 250, 2 b@b.example sent 250, 3 b@b.example temp 421 end of data"},
		{"421 4.4.2 mx.example timeout exceeded", time.Second, "1 b@b.example sent 250, 2 b@b.example sent 250, 3 b@b.example temp 421 end of data"},
		{"421 4.4.2 mx.example timeout exceeded", 7 * time.Second, "unknown"},
		{"421 4.3.2 mx.example timeout exceeded", 7 * time.Second, "unknown"},
		{"421 mx.example closing", 7 * time.Second, "unknown"},
	} {
		t.Run(fmt.Sprint(tt.text, tt.pause), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, err := serve(t, testConfig(), func(p *peer) {
					seen := 0
					p.say("220 mx.example")
					answer(p, chunking, func(string) {
						if seen++; seen == 3 {
							time.Sleep(tt.pause)
							p.say("%s", tt.text)
							p.nc.Close()
						}
					})
				})
				if err != nil {
					t.Fatal(err)
				}
				c.Chunk(4)
				c.batchRoom = 4
				back, _ := deliver(c, messages(3)...)
				got := describe(back)
				if tt.want == "unknown" {
					got = slices.DeleteFunc(got, func(line string) bool { return strings.HasSuffix(line, " unknown") })
					tt.want = ""
				}
				if strings.Join(got, ", ") != tt.want {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}
