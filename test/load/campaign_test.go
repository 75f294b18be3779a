package load

import (
	"bytes"
	"io"
	"math"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"

	"bufio"

	"pgregory.net/rapid"
)

func TestCampaign(t *testing.T) {
	c := newCampaign(Config{Addr: "x", MinSize: 2000, MaxSize: 30_000, Plain: 0.3, Personal: 0.2, Seed: 5, VERP: true}.withDefaults())
	plain := 0
	for n := range 200 {
		raw := c.message(nil, n)
		if len(raw) < 1900 || len(raw) > 30_100 {
			t.Errorf("message %d has %d bytes", n, len(raw))
		}
		if !bytes.HasPrefix(raw, []byte("X-Ledger: "+c.id(n)+"\r\n")) || !bytes.HasSuffix(raw, []byte("\r\n")) {
			t.Fatalf("message %d begins %q", n, raw[:40])
		}
		m, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		if bulk := m.Header.Get("List-Unsubscribe") != ""; bulk != c.bulk(n) {
			t.Errorf("message %d: bulk %v", n, bulk)
		}
		if !c.bulk(n) {
			plain++
		}
		for line := range bytes.Lines(raw) {
			if len(line) > 200 || !bytes.HasSuffix(line, []byte("\r\n")) {
				t.Fatalf("message %d has the line %q", n, line)
			}
		}
	}
	if plain != 60 {
		t.Errorf("%d of 200 are plain, want 60", plain)
	}
	if got := c.sender(7); got != "news+m7@sender.test" {
		t.Errorf("sender %s", got)
	}
}

func TestCampaignIsRepeatable(t *testing.T) {
	config := Config{Addr: "x", Seed: 9, MinSize: 1000, MaxSize: 5000, Personal: 0.3}.withDefaults()
	a, b := newCampaign(config), newCampaign(config)
	b.date = a.date
	if !bytes.Equal(a.message(nil, 3), b.message(nil, 3)) {
		t.Error("the same seed makes another message")
	}
	if bytes.Equal(a.message(nil, 3), a.message(nil, 4)) {
		t.Error("two messages are the same")
	}
}

// TestPersonalShare measures how much two bodies have in common.
func TestPersonalShare(t *testing.T) {
	for _, share := range []float64{0, 0.3, 1} {
		c := newCampaign(Config{Addr: "x", MinSize: 20_000, Personal: share}.withDefaults())
		a, b := c.message(nil, 1), c.message(nil, 2)
		same := 0
		for same < min(len(a), len(b)) && a[len(a)-1-same] == b[len(b)-1-same] {
			same++
		}
		if got := 1 - float64(same)/float64(len(a)); math.Abs(got-share) > 0.06 {
			t.Errorf("share %v: %.2f of the message differs", share, got)
		}
	}
}

func TestStuffIsUndoneByAReader(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		lines := rapid.SliceOfN(rapid.StringMatching(`[.a]{0,4}`), 1, 20).Draw(t, "lines")
		message := strings.Join(lines, "\r\n") + "\r\n"
		r := textproto.NewReader(bufio.NewReader(bytes.NewReader(stuff(nil, []byte(message)))))
		got, err := io.ReadAll(r.DotReader())
		if want := strings.ReplaceAll(message, "\r\n", "\n"); err != nil || string(got) != want {
			t.Fatalf("%q came back as %q, %v", want, got, err)
		}
	})
}
