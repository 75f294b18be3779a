package smtp

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script is one file of testdata: messages to deliver, the dialogue that must
// come of it, and the outcome. A file has three parts, divided by "---":
//
//	# a comment
//	limit 2
//	chunk 4
//	tx from=a@a.example rcpts=b@b.example,c@b.example flags=8bit,utf8 body=.x|y
//	---
//	S: 220 what the server says (lines in a row are one write)
//	C: what the client must have written next
//	S! close
//	S~ 6s
//	---
//	1 b@b.example sent 250
//	2 b@b.example temp end of data unknown
//	error temp 421 RCPT
//
// With chunk, that many messages may go in the first batch already, and the last line of the outcome is "chunks lost" where the host
// should not get any again. In a body '|' is CRLF and '^' is a bare LF. Since all of it runs in a bubble
// of fake time, C lines in a row prove that the client did not wait between them,
// and S lines after them that it wrote no more.
type script struct {
	limit int
	chunk int
	txs   []*Transaction
	steps []string
	want  []string
}

func readScript(t *testing.T, name string) script {
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split("\n"+string(b), "\n---\n")
	if len(parts) != 3 {
		t.Fatalf("%d parts, want 3", len(parts))
	}
	var s script
	for _, l := range meaningful(parts[0]) {
		word, args, _ := strings.Cut(l, " ")
		switch word {
		case "limit":
			fmt.Sscan(args, &s.limit)
		case "chunk":
			fmt.Sscan(args, &s.chunk)
		case "tx":
			s.txs = append(s.txs, readTransaction(t, args))
		default:
			t.Fatalf("what is %q?", l)
		}
	}
	s.steps, s.want = meaningful(parts[1]), meaningful(parts[2])
	return s
}

func meaningful(part string) []string {
	var out []string
	for l := range strings.Lines(part) {
		if l = strings.TrimRight(l, "\n"); l != "" && !strings.HasPrefix(l, "#") {
			out = append(out, l)
		}
	}
	return out
}

func readTransaction(t *testing.T, args string) *Transaction {
	tx := &Transaction{From: "a@a.example", Content: [][]byte{[]byte("hello\r\n")}}
	for _, f := range strings.Fields(args) {
		key, value, _ := strings.Cut(f, "=")
		switch key {
		case "from":
			tx.From = value
		case "rcpts":
			for a := range strings.SplitSeq(value, ",") {
				tx.Rcpts = append(tx.Rcpts, Rcpt{Addr: a})
			}
		case "flags":
			tx.EightBit = strings.Contains(value, "8bit")
			tx.UTF8 = strings.Contains(value, "utf8")
		case "notify":
			tx.Rcpts[len(tx.Rcpts)-1].Notify = value
		case "orcpt":
			tx.Rcpts[len(tx.Rcpts)-1].ORcpt = value
		case "ret":
			tx.Ret = value
		case "envid":
			tx.EnvID = value
		case "body":
			tx.Content = [][]byte{[]byte(strings.NewReplacer("|", "\r\n", "^", "\n").Replace(value))}
		default:
			t.Fatalf("what is %q?", f)
		}
	}
	return tx
}

// play is the server: it follows the steps and returns the first thing that was
// not as written.
func play(p *peer, steps []string) error {
	for i := 0; i < len(steps); {
		var say strings.Builder
		for ; i < len(steps) && strings.HasPrefix(steps[i], "S: "); i++ {
			say.WriteString(steps[i][3:] + "\r\n")
		}
		if d, err := time.ParseDuration(strings.TrimPrefix(steps[min(i, len(steps)-1)], "S~ ")); say.Len() == 0 && err == nil {
			time.Sleep(d)
			i++
			continue
		}
		if say.Len() > 0 {
			if rest := unread(p); rest > 0 {
				return fmt.Errorf("step %d: client has written %d bytes more", i, rest)
			}
			_, _ = p.nc.Write([]byte(say.String()))
			continue
		}
		want, isLine := strings.CutPrefix(steps[i], "C:")
		if !isLine {
			return p.nc.Close() // "S! close"
		}
		want = strings.TrimPrefix(want, " ")
		if got, ok := p.line(); !ok || got != want {
			return fmt.Errorf("step %d: client wrote %q (%v), want %q", i+1, got, ok, want)
		}
		i++
	}
	if l, ok := p.line(); ok && l != "QUIT" {
		return fmt.Errorf("client wrote more: %q", l)
	}
	return nil
}

// unread waits until the client waits too and counts the bytes written since.
func unread(p *peer) int {
	synctest.Wait()
	w := p.nc.(*wire)
	w.in.mu.Lock()
	defer w.in.mu.Unlock()
	return p.br.Buffered() + len(w.in.buf)
}

func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			s := readScript(t, f)
			synctest.Test(t, func(t *testing.T) { s.run(t) })
		})
	}
}

func (s script) run(t *testing.T) {
	var played error
	ended := make(chan struct{})
	c, err := serve(t, testConfig(), func(p *peer) {
		defer close(ended)
		played = play(p, s.steps)
	})
	var got []string
	if err == nil {
		c.Limit(s.limit)
		c.Chunk(s.chunk)
		c.batchRoom = max(1, s.chunk)
		var back []*Transaction
		back, err = deliver(c, s.txs...)
		got = describe(back)
		c.Quit()
	}
	<-ended
	if played != nil {
		t.Error(played)
	}
	if e := describeError(err); e != "" {
		got = append(got, e)
	}
	if c != nil && c.ChunksLost() {
		got = append(got, "chunks lost")
	}
	if strings.Join(got, "\n") != strings.Join(s.want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(s.want, "\n"))
	}
}

func describe(txs []*Transaction) []string {
	var out []string
	for i, tx := range txs {
		for j, r := range tx.Rcpts {
			line := fmt.Sprintf("%d %s %s", i+1, r.Addr, outcome(tx.Results[j]))
			if tx.Results[j].Unknown {
				line += " unknown"
			}
			out = append(out, line)
		}
	}
	return out
}

func describeError(err error) string {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrLimit):
		return "error limit"
	case errors.As(err, &e):
		return "error " + failure(e)
	}
	return "error " + err.Error()
}
