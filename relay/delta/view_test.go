package delta

import (
	"bytes"
	stdbase64 "encoding/base64"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestQuotedPrintable: the soft breaks of widespread encoders are taken out, and a coder puts them back. The files are one text, as
// the encoder after which each is named writes it.
func TestQuotedPrintable(t *testing.T) {
	files, err := filepath.Glob("testdata/quoted/*.eml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		message, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		var s Scratch
		rejoin(t, &s, nil, message)
		s.Read(message)
		if n := bytes.Count(s.view, []byte("=\r\n")); n > 0 || len(s.places) > 2 || len(s.stretches) > 3 {
			t.Errorf("%s: %d soft breaks are in the view, places %v, stretches %+v", f, n, s.places, s.stretches)
		}
	}
}

const in64 = "Content-Transfer-Encoding: base64\r\n\r\n"

// TestViews: what becomes of the parts of a message.
func TestViews(t *testing.T) {
	narrow := strings.Repeat("0123456789abcde=\r\n", 4) + "end\r\n"
	for _, c := range []struct {
		name, message, view string
		stretches           int
	}{
		{"empty", "", "", 0},
		{"no header", "text", "text", 0},
		{"base64", in64 + "SGVsbG8g\r\nd29ybGQ=\r\n", in64 + "Hello world", 1},
		{"any case", "content-TRANSFER-encoding: \t BASE64 \r\n\r\nSGVsbG8g\r\n",
			"content-TRANSFER-encoding: \t BASE64 \r\n\r\nHello ", 1},
		{"a shorter last line", in64 + "SGVsbG8g\r\nd29y\r\n", in64 + "Hello wor", 1},
		{"a longer last line", in64 + "SGVs\r\nbG8gd29y\r\n", in64 + "HelbG8gd29y\r\n", 1},
		{"bits too many", in64 + "SGVsbG8g\r\nd29ybGR=\r\n", in64 + "Hello d29ybGR=\r\n", 1},
		{"padding within", in64 + "SGU=bG8g\r\n", in64 + "SGU=bG8g\r\n", 0},
		{"behind padding", in64 + "SGVsbG8=\r\nSGVsbG8g\r\n", in64 + "HelloSGVsbG8g\r\n", 1},
		{"LF only", "Content-Transfer-Encoding: base64\n\nSGVsbG8g\nSGVsbG8g\n",
			"Content-Transfer-Encoding: base64\n\nSGVsbG8g\nSGVsbG8g\n", 0},
		{"lines too narrow for a coder", "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + narrow,
			"Content-Transfer-Encoding: quoted-printable\r\n\r\n" + narrow, 0},
		{"parts", "a: b\r\n\r\n--x\r\n" + in64 + "SGVs\r\n--x\r\n" + in64 + "SGVs\r\n--x--\r\n",
			"a: b\r\n\r\n--x\r\n" + in64 + "Hel--x\r\n" + in64 + "Hel--x--\r\n", 2},
		{"parts within parts", "a: b\r\n\r\n--x\r\nc: d\r\n\r\n--y\r\n" + in64 + "SGVs\r\n--y--\r\n--x\r\n" + in64 + "SGVs\r\n--x--\r\n",
			"a: b\r\n\r\n--x\r\nc: d\r\n\r\n--y\r\n" + in64 + "Hel--y--\r\n--x\r\n" + in64 + "Hel--x--\r\n", 2},
	} {
		var s Scratch
		s.Read([]byte(c.message))
		if string(s.view) != c.view || len(s.stretches) != c.stretches {
			t.Errorf("%s: the view is %q with %+v", c.name, s.view, s.stretches)
		}
		rejoin(t, &s, nil, []byte(c.message))
	}
}

// TestSoftBreakOfAnotherKind: few soft breaks that no rule explains stand in the part; with many of them the text stays as it is.
func TestSoftBreakOfAnotherKind(t *testing.T) {
	head := "Content-Transfer-Encoding: quoted-printable\r\n\r\n"
	line := strings.Repeat("x", 75) + "=\r\n" + strings.Repeat("x", 75) + "=\r\nend\r\n"
	odd := strings.Repeat("y", 40) + "=\r\n" + strings.Repeat("y", 30) + "\r\n"
	for _, c := range []struct {
		name, body string
		left       int // soft breaks in the view
	}{
		{"none", strings.Repeat(line, 9), 0},
		{"one", strings.Repeat(line, 9) + odd + strings.Repeat(line, 9), 0},
		{"nothing behind the last", strings.Repeat(line, 9) + odd + strings.Repeat("y", 40) + "=\r\n", 0},
		{"too many", strings.Repeat(line+odd, 60), 180},
	} {
		var s Scratch
		s.Read([]byte(head + c.body))
		if n := bytes.Count(s.view, []byte("=\r\n")); n != c.left {
			t.Errorf("%s: %d soft breaks are in the view, want %d", c.name, n, c.left)
		}
		rejoin(t, &s, nil, []byte(head+c.body))
	}
}

// TestLargePartStays: a part over the bound stays coded, and what is around it does not.
func TestLargePartStays(t *testing.T) {
	large := strings.Repeat(strings.Repeat("QUJD", 19)+"\r\n", mostStretch/78+2)
	soft := strings.Repeat(strings.Repeat("x", 75)+"=\r\n", mostStretch/78+2)
	part := func(encoding, body string) string {
		return "--x\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + body
	}
	small := part("base64", "QUJD\r\n")
	message := "a: b\r\n\r\n" + small + part("base64", large) + small + part("quoted-printable", soft) + small + "--x--\r\n"
	var s Scratch
	s.Read([]byte(message))
	if len(s.stretches) != 3 || len(s.view) != len(message)-3*len("D\r\n") {
		t.Errorf("%d stretches, a view of %d bytes of %d", len(s.stretches), len(s.view), len(message))
	}
	rejoin(t, &s, nil, []byte(message))
}

func TestBase64AsTheLibrary(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for n := range 400 {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(rng.Uint32())
		}
		want := stdbase64.StdEncoding.EncodeToString(data)
		got := string(encode(grown(nil, len(want)), data))
		if got != want {
			t.Fatalf("%x is %s, want %s", data, got, want)
		}
		if n == 0 {
			continue
		}
		for range 20 {
			line := []byte(want)
			if rng.IntN(2) == 0 {
				line[rng.IntN(len(line))] = byte(rng.Uint32())
			}
			back, err := stdbase64.StdEncoding.Strict().DecodeString(string(line))
			dst := make([]byte, len(line)+slack)
			k, _ := decode(dst, line)
			if valid := err == nil && !bytes.ContainsAny(line, "\r\n"); valid != (k > 0) || valid && !bytes.Equal(dst[:k], back) {
				t.Fatalf("%s gives %x; the library says %x, %v", line, dst[:k], back, err)
			}
		}
	}
}

func TestPackedRuns(t *testing.T) {
	for set, s := range charsets {
		for n := range 70 {
			run := strings.Repeat(s.chars, 5)[n%7:][:n]
			packed := pack(nil, []byte(run), int8(set))
			if len(packed) != packedSize(n, set) {
				t.Fatalf("%d characters take %d bytes, not %d", n, len(packed), packedSize(n, set))
			}
			if got := string(unpack(nil, packed, n, set)); got != run {
				t.Fatalf("%q comes back as %q", run, got)
			}
		}
	}
	const uuid = "0f9e9e89-aca2-4d66-a317-2707766c4fac"
	if got := string(unpackUUID(nil, pack(nil, []byte(uuid), packedUUID))); got != uuid {
		t.Errorf("%q comes back as %q", uuid, got)
	}
}
