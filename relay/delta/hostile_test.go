package delta

import (
	"bytes"
	stdbase64 "encoding/base64"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
)

// hostile is a message of about size bytes that is made to cost much, and the one whose view is the reference.
type hostile struct {
	name string
	make func(size int) (reference, message []byte)
}

var hostiles = []hostile{
	{"all equal bytes", func(n int) (a, b []byte) { return bytes.Repeat([]byte("a"), n), bytes.Repeat([]byte("a"), n-1) }},
	{"all equal bytes, others than in the reference", func(n int) (a, b []byte) {
		return bytes.Repeat([]byte("a"), n), bytes.Repeat([]byte("b"), n)
	}},
	{"periodic", func(n int) (a, b []byte) {
		return bytes.Repeat([]byte("0123456789abc"), n/13), bytes.Repeat([]byte("0123456789abc"), n/13)[1:]
	}},
	{"another period", func(n int) (a, b []byte) {
		return bytes.Repeat([]byte("0123456789abc"), n/13), bytes.Repeat([]byte("0123456789abd"), n/13)
	}},
	{"random", func(n int) (a, b []byte) { return noise(n, 1), noise(n, 2) }},
	{"all 8-grams of the reference in another order", shuffled},
	{"matches of ten bytes between literals", pickets},
	{"literals that come again", func(n int) (a, b []byte) { return noise(n, 1), bytes.Repeat(noise(500, 2), n/500) }},
	{"literals that come again but for their last byte", func(n int) (a, b []byte) {
		a = noise(n, 1)
		for i := 0; len(b) < n; i += 24 {
			b = append(append(b, a[i:i+24]...), noise(500, 2)...)
			b[len(b)-1] = byte(i / 24)
		}
		return a, b
	}},
	{"fences that end as a soft break begins", func(n int) (a, b []byte) {
		fence := strings.Repeat("=", 60)
		m := []byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		for i := 0; len(m) < n; i++ {
			m = fmt.Appendf(m, "%s=\r\n%s\r\n--%s\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n", fence, fence[:i%60], fence)
		}
		return m, m[:len(m)-100]
	}},
	{"parts within parts", func(n int) (a, b []byte) { m := nested(n); return m, m[:len(m)-1] }},
	{"a million delimiters", func(n int) (a, b []byte) { m := bytes.Repeat([]byte("--\n\n"), n/4); return m, m[1:] }},
	{"many parts", func(n int) (a, b []byte) {
		m := bytes.Repeat([]byte("--x\r\nContent-Transfer-Encoding: base64\r\n\r\nQUJD\r\n"), n/49)
		return m, m[5:]
	}},
	{"many parts without an end", func(n int) (a, b []byte) {
		var m []byte
		for i := 0; len(m) < n; i++ {
			m = fmt.Appendf(m, "--%d\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nx=\r\n", i)
		}
		return m, m[5:]
	}},
	{"a header of many fields", func(n int) (a, b []byte) {
		m := bytes.Repeat([]byte("Content-Transfer-Encoding: none\n"), n/32)
		return m, m[:len(m)-1]
	}},
	{"base64 of base64", func(n int) (a, b []byte) {
		m := noise(n/2, 1)
		for range 2 {
			m = fold(stdbase64.StdEncoding.EncodeToString(m), "\r\n")
		}
		return m, append([]byte("Content-Transfer-Encoding: base64\r\n\r\n"), m...)
	}},
	{"soft breaks that no rule explains", func(n int) (a, b []byte) {
		rng := rand.New(rand.NewPCG(1, 1))
		m := []byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n")
		for len(m) < n {
			m = append(m, strings.Repeat("x", 1+rng.IntN(75))+"=\r\n"...)
		}
		return m, m
	}},
	{"a soft break behind each byte", func(n int) (a, b []byte) {
		m := append([]byte("Content-Transfer-Encoding: quoted-printable\r\n\r\n"), bytes.Repeat([]byte("x=\r\n"), n/4)...)
		return m, m
	}},
}

func noise(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 0))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

func fold(s, end string) []byte {
	var b []byte
	for ; len(s) > 76; s = s[76:] {
		b = append(append(b, s[:76]...), end...)
	}
	return append(append(b, s...), end...)
}

func shuffled(n int) (a, b []byte) {
	a = noise(n, 1)
	for _, i := range rand.New(rand.NewPCG(2, 0)).Perm(n / 16) {
		b = append(b, a[i*16:][:16]...)
	}
	return a, b
}

func pickets(n int) (a, b []byte) {
	a = noise(n, 1)
	for i := 0; i+10 <= n; i += 15 {
		b = append(append(b, a[i:i+10]...), "x"...)
	}
	return a, b
}

func nested(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, "Content-Type: multipart/mixed; boundary=%d\r\n\r\n--%d\r\n", i, i)
	}
	return b
}

// TestHostileMessages: they join again, whatever is done to make them expensive.
func TestHostileMessages(t *testing.T) {
	var s Scratch
	for _, h := range hostiles {
		one, other := h.make(50_000)
		s.Read(one)
		view, _ := s.View()
		rejoin(t, &s, NewReference(view), other)
	}
}

// BenchmarkHostile shows that what is done with a message costs the same for each of its bytes, few or many, and whatever
// they are: cpu-ns/byte is Read, Likeness and Split, which joins, for parts of any size.
func BenchmarkHostile(b *testing.B) {
	for _, h := range hostiles {
		for _, size := range []int{32 << 10, 1 << 20, 8 << 20} {
			b.Run(fmt.Sprint(strings.ReplaceAll(h.name, " ", "-"), "/", size>>10, "K"), func(b *testing.B) {
				one, other := h.make(size)
				var s Scratch
				s.Read(one)
				view, _ := s.View()
				r := NewReference(view)
				r.indexed()
				runtime.LockOSThread()
				defer runtime.UnlockOSThread()
				start := processorTime(b)
				for b.Loop() {
					s.Read(other)
					r.Likeness(&s)
					r.Split(&s, 2*len(other)+100)
				}
				b.ReportMetric(float64(processorTime(b)-start)/float64(b.N)/float64(len(other)), "cpu-ns/byte")
			})
		}
	}
}
