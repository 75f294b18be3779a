package main

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/standin"
)

// TestRows: each row works from end to end, its figures are its own, and none is without a value for want of anything but code or
// time. The values mean nothing.
func TestRows(t *testing.T) {
	dir := t.TempDir()
	bin, err := daemon.Build(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range contests() {
		t.Run(c.name, func(t *testing.T) {
			if slices.Contains([]int{1, 3, 5, 7}, c.rows[0]) {
				mta.Require(t, mta.PostfixPart)
			}
			var out bytes.Buffer
			b := rowBench{bin: bin, dir: t.TempDir(), size: 20_000, quick: true, only: "phplist"}
			if c.name == "drain" {
				b.only = "" // all forms: they are no shapes
			}
			if c.name == "milter" {
				b.profile = t.TempDir()
			}
			if err := b.run(c.rows[:1], (&sheet{out: &out, json: true}).write); err != nil {
				t.Fatal(err)
			}
			checkFigures(t, c.rows[0], out.Bytes())
			if _, err := os.Stat(filepath.Join(b.profile, "milter.pprof")); b.profile != "" && err != nil {
				t.Error(err)
			}
		})
	}
	if err := (&rowBench{}).run([]int{14}, nil); err == nil {
		t.Error("there is a row 14")
	}
}

// checkFigures looks at the figures of a row, an object a line.
func checkFigures(t *testing.T, row int, out []byte) {
	t.Helper()
	n := 0
	for d := json.NewDecoder(bytes.NewReader(out)); ; n++ {
		var f figure
		if err := d.Decode(&f); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if f.Row != row || f.Figure == "" {
			t.Errorf("%+v", f)
		}
		for _, why := range []string{"not built", "not in the quick form", "needs -messages"} {
			if f.Value == nil && strings.HasPrefix(f.Reason, why) {
				f.Value = new(float64)
			}
		}
		if f.Value == nil {
			t.Errorf("%s: %s", f.Figure, f.Reason)
		}
	}
	if n == 0 {
		t.Error("no figure")
	}
}

// TestBareSink: it knows the end of a message wherever reads cut it, takes chunks, and counts.
func TestBareSink(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s := &bareSink{chunking: true}
	go func() { // ends with ln
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go (&bareSession{sink: s, nc: nc, buf: make([]byte, 64)}).serve() // a small buffer: every message is cut
		}
	}()
	for _, ahead := range []int{0, 3} {
		b := &blaster{addr: ln.Addr().String(), conns: 2, messages: 50, ahead: ahead, piece: func(i int, scratch []byte) piece {
			body := []byte(strings.Repeat("..not the end\r\n.\n\r\n", i) + "end\r\n")
			return piece{from: "a@b.test", rcpt: "c@d.test", head: fmt.Appendf(scratch, "Subject: %d\r\n\r\n", i), common: body}
		}}
		if err := b.run(); err != nil {
			t.Fatal(err)
		}
	}
	if m, c := s.messages.Load(), s.chunked.Load(); m != 100 || c != 50 {
		t.Errorf("%d messages, %d by BDAT", m, c)
	}
}

// TestTape: what an MTA writes is cut where it waits, with the number in it, and a milter that asks for no replies gets it in one
// piece.
func TestTape(t *testing.T) {
	for _, c := range []struct {
		steps  uint32
		pieces int
	}{{0, 2 + 1 + 1 + 1 + 1 + 1}, {noReplies, 1}} {
		offer := bareMilter{}.negotiate(standin.AppendFrame(nil, standin.Negotiate, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0)[5:])
		binary.BigEndian.PutUint32(offer[len(offer)-4:], c.steps)
		tape := &tape{offer: offer}
		conn, err := standin.New(tape, standin.Options{})
		if err != nil {
			t.Fatal(err)
		}
		tape.cut()
		m := &standin.Message{
			QueueID: string(marked), From: "a@b.test", Rcpts: standin.To("c@d.test"),
			Header: []standin.Field{{Name: "Subject", Value: " x"}}, Body: []byte("y\r\n"),
		}
		if v, err := conn.Send(m); err != nil || !v.Taken() {
			t.Fatalf("%+v, %v", v, err)
		}
		s := tape.cut()
		if len(s) != c.pieces || !bytes.Contains(bytes.Join(s, nil), marked) {
			t.Errorf("steps %#x: %d pieces, want %d", c.steps, len(s), c.pieces)
		}
	}
}

func TestParseRows(t *testing.T) {
	if got, err := parseRows("1,12"); err != nil || !slices.Equal(got, []int{1, 12}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, text := range []string{"x", "1,", "1 2"} {
		if got, err := parseRows(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}

func TestTurns(t *testing.T) {
	a := &way{name: "a", round: func(i int) (effort, error) { return effort{rate: float64(2 * (i + 1)), cpu: 10}, nil }}
	b := &way{name: "b", round: func(i int) (effort, error) { return effort{rate: float64(i + 1), cpu: 40, ack: "journal"}, nil }}
	if err := takeTurns(3, a, b); err != nil {
		t.Fatal(err)
	}
	if got := a.to(b, rateOf); !slices.Equal(got, []float64{2, 2, 2}) {
		t.Errorf("ratios %v", got)
	}
	want := `a: 4/s, 10 us a message; b: 2/s, 40 us a message, 0 bytes and 0.00 syncs a message, 0 MB resident, ack = "journal"`
	if got := notes(a, b); got != want {
		t.Errorf("%s\n%s", got, want)
	}
	a.round = func(int) (effort, error) { return effort{}, io.EOF }
	if err := takeTurns(1, a); !errors.Is(err, io.EOF) {
		t.Errorf("%v", err)
	}
}

// TestStages: a sample belongs to the innermost function that a stage names.
func TestStages(t *testing.T) {
	text := `File: bench
Type: cpu
-----------+-------------------------------------------------------
      20ms   internal/runtime/syscall/linux.Syscall6
             syscall.Fdatasync (inline)
             github.com/millrace/millrace/snapshot.(*tape).sync
             github.com/millrace/millrace/snapshot.(*writer).run
-----------+-------------------------------------------------------
      10ms   crypto/internal/fips140/sha256.blockSHANI
             github.com/millrace/millrace/filter.(*Mail).Build
-----------+-------------------------------------------------------
    1.50s    runtime.scanobject
             runtime.gcDrain
             runtime.gcBgMarkWorker
-----------+-------------------------------------------------------
`
	samples, err := readTraces(text)
	if err != nil {
		t.Fatal(err)
	}
	const ms = time.Millisecond
	want := []share{{"collector", 1500 * ms}, {"journal: write, sync", 20 * ms}, {"SHA-256", 10 * ms}, {"all", 1530 * ms}}
	if got := byStage(samples); !slices.Equal(got, want) {
		t.Errorf("%v\n%v", got, want)
	}
	if _, err := readTraces("\n-----------+---\n   soon   main.main\n"); err == nil {
		t.Error("a time that is none")
	}
}

func TestReadSplits(t *testing.T) {
	got := readSplits(`   shape links bytes personal  p99 shared % split µs  p99 join µs p99 sha256 µs split/sha join/sha
  listmonk     0 20000      800  900     95.8     21.0 48.0     3.7 5.0      10.0      2.10     0.37
  listmonk    15 20000      880  900     95.5     22.0 49.0     3.7 5.0      10.0      2.20     0.37
ok
`)
	if len(got.shapes) != 1 || !slices.Equal(slices.Concat(got.shared, got.split, got.late), []float64{95.5, 22, 49}) {
		t.Errorf("%+v", got)
	}
}

func TestReadCrashes(t *testing.T) {
	list, err := readCrashes("", []byte(`{"mode":"kill","n":2,"lost":1,"phantom":0}
{"mode":"power","unavailable":"not root"}
{"mode":"every","lost":2}
`))
	if err != nil || len(list) != len(broken)+1 {
		t.Fatalf("%+v, %v", list, err)
	}
	lost, missing := list[0], list[len(broken)]
	if *lost.Value != 3 || lost.Met || lost.Note != "kill, every" || !list[1].Met || missing.Reason != "power: not root" {
		t.Errorf("%+v, %v", list, err)
	}
}

// TestWithoutTrace: the first field goes with the lines that belong to it.
func TestWithoutTrace(t *testing.T) {
	for text, want := range map[string]string{"A: 1\r\n\t2\r\nB: 3\r\n\r\n": "B: 3\r\n\r\n", "A: 1\r\n": "", "": ""} {
		if got := string(withoutTrace([]byte(text))); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
