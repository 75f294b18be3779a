package delta

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay/packed"
)

// TestGolden: views and parts that an earlier version of the program wrote make the same messages for ever. A file .sum has the
// SHA-256 of the message. The files of a form are never written again.
func TestGolden(t *testing.T) {
	parts, err := filepath.Glob("testdata/form1/*.part")
	if err != nil || len(parts) < 5 {
		t.Fatal(parts, err)
	}
	kinds := map[byte]bool{}
	for _, name := range parts {
		name = strings.TrimSuffix(name, ".part")
		part := golden(t, name+".part")
		var s Scratch
		pieces, err := Join(golden(t, name+".view"), part, 1<<20, &s)
		if err != nil {
			t.Fatal(name, err)
		}
		h := sha256.New()
		for _, p := range pieces {
			h.Write(p)
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != strings.TrimSpace(string(golden(t, name+".sum"))) {
			t.Errorf("%s is another message", name)
		}
		_, rest, _ := head(part)
		r := reader{packed.Of(rest)}
		for range r.number() {
			stretch, _ := r.stretch()
			kinds[stretch.coder.kind] = true
		}
	}
	for kind := byte(coderBase64); kind <= coderPlaces; kind++ {
		if !kinds[kind] {
			t.Errorf("no part with coder %d", kind)
		}
	}
}

func golden(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
