package delta

import (
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"

	"github.com/millrace/millrace/test/letters"
)

var figures = flag.Int("figures", 0, "print the table of figures, from so many messages of each shape")

// TestFigures prints what the six shapes cost, in processor time. SHA-256 of the same message, in the same run, tells how fast the
// machine is.
func TestFigures(t *testing.T) {
	if *figures == 0 {
		t.Skip("only with -figures")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	defer w.Flush()
	fmt.Fprintln(w, "shape\tlinks\tbytes\tpersonal\tp99\tshared %\tsplit µs\tp99\tjoin µs\tp99\tsha256 µs\tsplit/sha\tjoin/sha\t")
	for _, links := range []int{0, 15} {
		for _, shape := range letters.Shapes(links) {
			f := measure(t, shape, *figures)
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%.2f\t\n", shape.Name, links, f.bytes/f.n,
				f.personal.at(50), f.personal.at(99), 100-100*float64(f.parts)/float64(f.bytes), us(f.split.at(50)), us(f.split.at(99)),
				us(f.join.at(50)), us(f.join.at(99)), us(f.sum.at(50)),
				float64(f.split.at(50))/float64(f.sum.at(50)), float64(f.join.at(50))/float64(f.sum.at(50)))
		}
	}
}

type series []int

func (s *series) add(n int) { *s = append(*s, n) }

// at is the percentile p.
func (s series) at(p int) int {
	slices.Sort(s)
	return s[(len(s)-1)*p/100]
}

func us(ns int) float64 { return float64(ns) / 1000 }

type figure struct {
	n, bytes, parts            int
	personal, split, join, sum series
}

// measure splits n messages of a shape, and joins them again. A split is all that is done from the message to the part. Of three
// times the shortest counts: other work on the machine makes a time longer, and none shorter.
func measure(t *testing.T, shape letters.Shape, n int) figure {
	ref, all := campaign(shape, n)
	f := figure{n: n}
	var s Scratch
	var part []byte
	var pieces [][]byte
	clock := func(to *series, do func()) {
		best := time.Hour
		for range 3 {
			at := processorTime(t)
			do()
			best = min(best, processorTime(t)-at)
		}
		to.add(int(best))
	}
	for _, m := range all {
		clock(&f.sum, func() { sha256.Sum256(m) })
		clock(&f.split, func() { s.Read(m); part, _ = ref.Split(&s, 4096) })
		clock(&f.join, func() { pieces, _ = Join(ref.View(), part, 1<<20, &s) })
		if !same(m, pieces) {
			t.Fatalf("%s: another message", shape.Name)
		}
		f.bytes += len(m)
		f.parts += len(part)
		f.personal.add(len(part))
	}
	return f
}

// processorTime is how long this thread has run: on a machine with other work the clock on the wall tells nothing.
func processorTime(t testing.TB) time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		t.Fatal(err)
	}
	return time.Duration(ts.Nano())
}
