package delta

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/letters"
)

var (
	mutations = flag.Int("mutations", 3000, "how many mutations of messages to split")
	seed      = flag.Uint64("seed", 1, "of the mutations")
	stride    = flag.Int("stride", 61, "how many bytes a truncated message is longer than the last")
	corpus    = flag.String("corpus", "", "directory of mail to split besides that of the tests")
)

// rejoin checks that the view of message and its part make message, and that r and its part do.
func rejoin(t *testing.T, s *Scratch, r *Reference, message []byte) (personal int) {
	t.Helper()
	s.Read(message)
	if _, ok := s.whole(); !ok {
		t.Fatalf("a coder does not give back the message %q", message)
	}
	view, part := s.View()
	check(t, s, view, part, message)
	if r == nil {
		return 0
	}
	s.Read(message)
	part, ok := r.Split(s, 2*len(message)+100)
	if !ok {
		t.Fatalf("no part of the message %q", message)
	}
	check(t, s, r.View(), part, message)
	return len(part)
}

func check(t *testing.T, s *Scratch, view, part, message []byte) {
	t.Helper()
	if n, err := Size(part); n != len(message) || err != nil {
		t.Fatalf("the size is %d, %v; want %d", n, err, len(message))
	}
	pieces, err := Join(view, part, len(message), s)
	if err != nil {
		t.Fatal(err)
	}
	if got := bytes.Join(pieces, nil); !bytes.Equal(got, message) {
		t.Fatalf("another message:\n%q\nwant\n%q", got, message)
	}
	if len(message) > 0 {
		if _, err := Join(view, part, len(message)-1, s); err != ErrLimit {
			t.Fatalf("over the limit: %v", err)
		}
	}
}

// corpusMail is real mail and the messages of all shapes.
func corpusMail(t testing.TB) map[string][]byte {
	all := map[string][]byte{}
	for _, shape := range everyShape(15) {
		for i := range 8 {
			all[fmt.Sprint(shape.Name, i)] = shape.Message(i)
		}
	}
	for _, dir := range []string{"testdata", "../bounce/testdata", "../smtp/testdata", *corpus} {
		if dir == "" {
			continue
		}
		err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			all[path] = b
			all[path+" on the wire"] = bytes.ReplaceAll(bytes.ReplaceAll(b, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

func everyShape(links int) []letters.Shape {
	return append(letters.Shapes(links), letters.Variants(links)...)
}

// TestCorpus: every message joins again, split against itself, against another one, and against nothing.
func TestCorpus(t *testing.T) {
	var s Scratch
	var last *Reference
	empty := NewReference(nil)
	for name, message := range corpusMail(t) {
		rejoin(t, &s, last, message)
		rejoin(t, &s, empty, message)
		s.Read(message)
		view, _ := s.View()
		last = NewReference(view)
		if n := rejoin(t, &s, last, message); n > 12+8*mostStretches {
			t.Errorf("%s: %d bytes of its own against itself", name, n)
		}
	}
}

// TestTruncated: every beginning and every end of a message joins again, with -stride 1 really every one.
func TestTruncated(t *testing.T) {
	for _, shape := range everyShape(3) {
		t.Run(shape.Name, func(t *testing.T) {
			t.Parallel()
			var s Scratch
			s.Read(shape.Message(0))
			view, _ := s.View()
			r := NewReference(view)
			m := shape.Message(1)
			for n := 0; n <= len(m); n += *stride {
				rejoin(t, &s, r, m[:n])
				rejoin(t, &s, r, m[n:])
			}
			for n := len(m) - 300; n <= len(m); n++ {
				rejoin(t, &s, r, m[:n])
			}
		})
	}
}

// TestMutated: whatever befalls a message, it joins again. -mutations=1000000 takes minutes.
func TestMutated(t *testing.T) {
	var refs []*Reference
	var messages [][]byte
	for _, shape := range everyShape(3) {
		r, all := campaign(shape, 1)
		refs, messages = append(refs, r), append(messages, all[0])
	}
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		t.Run(fmt.Sprint(w), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(*seed, uint64(w)))
			var s Scratch
			for range (*mutations + workers - 1) / workers {
				k := rng.IntN(len(refs))
				rejoin(t, &s, refs[k], mutated(rng, messages[k]))
			}
		})
	}
}

// mutated is a message to which a few things have happened. Half of them are short, so that many fit into a second.
func mutated(rng *rand.Rand, message []byte) []byte {
	m := bytes.Clone(message)
	if rng.IntN(2) == 0 {
		from := rng.IntN(len(m) - 3000)
		m = append(m[:800:800], m[from:from+2000]...)
	}
	for range 1 + rng.IntN(6) {
		m = mutate(rng, m)
	}
	return m
}

// tokens are what a parser of mail may stumble over.
var tokens = strings.Split("=\r\n|\r\n|\n|\r|=|==|=3D|--|\r\n--|\r\n\r\n|Content-Transfer-Encoding: base64\r\n|"+
	"Content-Transfer-Encoding: quoted-printable\r\n\r\n|QUJD\r\n|QQ==\r\n|\x00|\xff|=E4=F6|=C3=BC|deadbeefdeadbeef", "|")

func mutate(rng *rand.Rand, m []byte) []byte {
	at := rng.IntN(len(m) + 1)
	to := min(len(m), at+rng.IntN(1+rng.IntN(200)))
	switch rng.IntN(7) {
	case 0: // a bit
		if at < len(m) {
			m[at] ^= 1 << rng.IntN(8)
		}
	case 1: // something goes
		return append(m[:at:at], m[to:]...)
	case 2: // something comes twice
		return append(m[:to:to], m[at:]...)
	case 3: // something moves
		return append(append(bytes.Clone(m[to:]), m[at:to]...), m[:at]...)
	case 4:
		token := tokens[rng.IntN(len(tokens))]
		return append(append(m[:at:at], token...), m[at:]...)
	case 5: // bytes of any kind
		for i := at; i < to; i++ {
			m[i] = byte(rng.Uint32())
		}
	case 6: // all line ends
		if rng.IntN(20) == 0 {
			return bytes.ReplaceAll(m, []byte("\r\n"), []byte("\n"))
		}
	}
	return m
}

// TestSplitRefuses: a message that does not fit has no part, and none is larger than allowed.
func TestSplitRefuses(t *testing.T) {
	var s Scratch
	a, b := letters.Shapes(0)[0], letters.Shapes(0)[3]
	s.Read(a.Message(0))
	view, _ := s.View()
	r := NewReference(view)
	s.Read(b.Message(1))
	if part, ok := r.Split(&s, 4096); ok {
		t.Errorf("a message of another campaign has a part of %d bytes", len(part))
	}
	s.Read(a.Message(1))
	part, ok := r.Split(&s, 4096)
	if !ok {
		t.Fatal("no part")
	}
	if _, ok := r.Split(&s, len(part)); !ok {
		t.Error("a part of just the size allowed is refused")
	}
	if part, ok := r.Split(&s, len(part)-1); ok {
		t.Errorf("%d bytes where less are allowed", len(part))
	}
}

// TestLongLiteralAtTheEnd: a message that ends in a long literal, of which the last bytes stand in the reference at the same place.
func TestLongLiteralAtTheEnd(t *testing.T) {
	var s Scratch
	for n := range 36 {
		own, same := noise(100+n%3, 2), []byte("0123456789ab")[:n/3]
		r := NewReference(slices.Concat(noise(100, 1), noise(len(own), 3), same, []byte(" and what is behind")))
		rejoin(t, &s, r, slices.Concat(noise(100, 1), own, same))
	}
}

// TestSmallParts: whatever the bound is, no part is larger.
func TestSmallParts(t *testing.T) {
	var s Scratch
	split := func(r *Reference, message []byte, most int) {
		s.Read(message)
		if part, ok := r.Split(&s, most); ok && len(part) > most {
			t.Fatalf("%d bytes where %d are allowed", len(part), most)
		}
	}
	for _, h := range hostiles {
		one, other := h.make(3000)
		s.Read(one)
		view, _ := s.View()
		r := NewReference(view)
		for most := range 700 {
			split(r, other[most%len(other):], most)
		}
	}
	shared, own := noise(3000, 1), noise(3000, 2)
	r := NewReference(shared)
	for most := range 200 {
		for n := range 40 { // bytes that are just too many
			message := slices.Concat(own[:mostLiteral+2*most-n], shared[1000:1020], own[:100], shared[2000:])
			split(r, message, most)
		}
	}
}

// TestMemory: a warm scratch allocates the part only, and gives back what a very large message needed.
func TestMemory(t *testing.T) {
	for _, shape := range everyShape(15) {
		r, all := campaign(shape, 5)
		var s Scratch
		var part []byte
		next := 0
		split := func() {
			s.Read(all[next%len(all)])
			part, _ = r.Split(&s, 1<<20)
			next++
		}
		for range all {
			split()
		}
		if n := testing.AllocsPerRun(20, split); n > 1 {
			t.Errorf("%s: a split allocates %v times", shape.Name, n)
		}
		if n := testing.AllocsPerRun(20, func() { _, _ = Join(r.View(), part, 1<<20, &s) }); n > 0 {
			t.Errorf("%s: a join allocates %v times", shape.Name, n)
		}
	}
	var s Scratch
	part := "--x\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat("QUJD\r\n", 3000)
	s.Read([]byte("Content-Type: multipart/mixed; boundary=x\r\n\r\n" + strings.Repeat(part, 100)))
	s.View()
	s.Forget()
	n := cap(s.buffer) + 8*cap(s.soft) + cap(s.out.b) + cap(s.join.coded) + cap(s.join.gathered) + 24*cap(s.join.pieces)
	if n > 6*keptScratch {
		t.Errorf("a scratch keeps %d bytes", n)
	}
}

// TestManyAtOnce: goroutines split against one reference while others drop its index.
func TestManyAtOnce(t *testing.T) {
	r, all := campaign(letters.Shapes(3)[0], 8)
	done := make(chan error)
	for range 4 {
		go func() {
			var s Scratch
			for i := range 200 {
				s.Read(all[i%len(all)])
				r.Likeness(&s)
				if _, ok := r.Split(&s, 4096); !ok {
					done <- fmt.Errorf("message %d has no part", i)
					return
				}
				if i%7 == 0 {
					r.Forget()
				}
			}
			done <- nil
		}()
	}
	for range 4 {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

// TestWeight: an index takes 4 bytes for each byte of the view at most, and nothing when it is dropped.
func TestWeight(t *testing.T) {
	for _, size := range []int{0, 1, 7, 8, 9, 100, 16_383, 16_384, 16_385, 20_000, 32_767, 32_769, 1 << 20, 9 << 20} {
		r := NewReference(make([]byte, size))
		if r.Weight() != 0 {
			t.Errorf("%d bytes: an index that nobody has asked for", size)
		}
		var s Scratch
		s.Read([]byte("x"))
		r.Split(&s, 100)
		if r.Weight() > 4*size+16 || r.Weight() == 0 {
			t.Errorf("%d bytes: the index takes %d", size, r.Weight())
		}
		if r.Forget(); r.Weight() != 0 {
			t.Errorf("%d bytes: the index is still there", size)
		}
	}
}
