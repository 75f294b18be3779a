package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/licence"
	"github.com/millrace/millrace/test/sink"
)

// offers offers so many messages, and says how many were taken.
func (r *reloadable) offers(t *testing.T, first, n int) (taken int) {
	t.Helper()
	c := dial(t, r.milter)
	defer c.Close()
	for i := range n {
		v, err := c.Send(newsletter(first + i))
		if err != nil {
			t.Fatal(err)
		}
		if v.Taken() {
			taken++
		}
	}
	return taken
}

// settled waits until nothing waits.
func (r *reloadable) settled(t *testing.T) console.Status {
	t.Helper()
	for {
		s, err := r.client.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s.Messages == 0 {
			return s
		}
	}
}

// TestAnAllowance: mail above it stays with the MTA, with the reason in status; what was taken is delivered; a larger allowance is in force
// at once.
func TestAnAllowance(t *testing.T) {
	r := startReloadable(t, sink.Character{})
	defer func() { stop(t, r.Daemon) }()
	if s := r.settled(t); s.Allowance != nil {
		t.Errorf("without a table: %+v", s.Allowance)
	}
	r.rewrite(t, "[allowance]\nmonth = 20\n")
	if got := r.offers(t, 0, 50); got != 20 {
		t.Errorf("%d taken of 50, want 20", got)
	}
	s := r.settled(t)
	u := s.Allowance.Usage[0]
	if r.far.Count() != 20 || u.Used != 20 || u.Left != 0 || u.Limit != 20 || u.Resets <= time.Now().Unix() || s.Allowance.Installation == "" {
		t.Errorf("%d delivered, %+v", r.far.Count(), s.Allowance)
	}
	if why := s.Reasons; len(why) != 1 || why[0].Kind != relay.ReasonAllowance || !strings.Contains(why[0].Reason, "the allowance of 20 recipients this month") {
		t.Errorf("%+v", why)
	}
	if left := s.Doors[0].Left; len(left) != 1 || left[0] != (console.LeftCount{Cause: "allowance", Count: 30}) || s.Gate.State != relay.GateOpen {
		t.Errorf("%+v, gate %s", left, s.Gate.State)
	}
	r.rewrite(t, "[allowance]\nmonth = 25\n")
	if got := r.offers(t, 50, 50); got != 5 {
		t.Errorf("%d more taken, want 5", got)
	}
	stop(t, r.Daemon)
	cfg, _ := configured(t, r.dir, r.to, "[allowance]\nmonth = 25\n")
	var err error
	if r.Daemon, err = New(cfg, hclog.NewNullLogger()); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if again := r.settled(t).Allowance; again == nil || again.Installation != s.Allowance.Installation {
		t.Errorf("over a restart: %+v", again)
	}
	r.rewrite(t, "")
	if got := r.offers(t, 100, 50); got != 50 || r.settled(t).Allowance != nil {
		t.Errorf("without a table %d of 50", got)
	}
}

// TestALicenceIsTakenOver: a reload brings it into force. One that is refused leaves the old one.
func TestALicenceIsTakenOver(t *testing.T) {
	r := startReloadable(t, sink.Character{})
	defer func() { stop(t, r.Daemon) }()
	ours, _ := licence.NewKey()
	theirs, _ := licence.NewKey()
	table := fmt.Sprintf("[allowance]\nlicence_keys = [%q]\nevaluation = 5\n", ours.Public())
	r.rewrite(t, table)
	if got := r.offers(t, 0, 10); got != 5 {
		t.Errorf("for evaluation %d of 10, want 5", got)
	}
	r.settled(t)
	now := time.Now()
	sign := func(key licence.PrivateKey, serial string, total uint64, change func(*licence.Licence)) []byte {
		l := licence.Licence{
			Version: 1, Licensee: "Example", Serial: serial, Issued: now, NotBefore: now.Add(-time.Hour), Expires: now.Add(time.Hour),
			Limits: licence.Limits{Total: total},
		}
		if change != nil {
			change(&l)
		}
		text, err := l.Sign(key)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	install := func(text []byte) *console.Licence {
		t.Helper()
		if err := licence.Install(filepath.Join(r.dir, "state"), text); err != nil {
			t.Fatal(err)
		}
		r.rewrite(t, table)
		return r.settled(t).Allowance.Licence
	}
	good := sign(ours, "1", 10, nil)
	if l := install(good); l == nil || l.Serial != "1" || l.State != "valid" {
		t.Fatalf("%+v", l)
	}
	if got := r.offers(t, 100, 30); got != 10 {
		t.Errorf("licensed %d of 30, want 10", got)
	}
	forged := []byte(strings.Replace(string(good), payloadOf(good), payloadOf(sign(ours, "8", 1000, nil)), 1))
	for name, text := range map[string][]byte{
		"foreign key": sign(theirs, "2", 1000, nil),
		"forged":      forged,
		"elsewhere":   sign(ours, "3", 1000, func(l *licence.Licence) { l.Servers = []string{"other.example.org"} }),
		"other id":    sign(ours, "4", 1000, func(l *licence.Licence) { l.Installation = "x" }),
		"expired":     sign(ours, "5", 1000, func(l *licence.Licence) { l.Expires = now.Add(-time.Minute) }),
		"early":       sign(ours, "6", 1000, func(l *licence.Licence) { l.NotBefore = now.Add(time.Minute) }),
		"large":       make([]byte, licence.MaxFile+1),
	} {
		if l := install(text); l == nil || l.Serial != "1" {
			t.Errorf("%s: %+v is in force", name, l)
		}
	}
	if got := r.offers(t, 200, 5); got != 0 {
		t.Errorf("%d taken by a licence that is refused", got)
	}
	if l := install(sign(ours, "7", 3, nil)); l.Serial != "7" {
		t.Errorf("%+v", l)
	}
	if got := r.offers(t, 300, 5); got != 3 {
		t.Errorf("%d of 5 by the new licence, want 3", got)
	}
	if err := os.Remove(filepath.Join(r.dir, "state", licence.FileName)); err != nil {
		t.Fatal(err)
	}
	r.rewrite(t, table)
	if got := r.offers(t, 400, 5); got != 0 || r.settled(t).Allowance.Licence != nil {
		t.Errorf("%d of 5 without a licence: the evaluation is over", got)
	}
}

// payloadOf is the value of the key "payload".
func payloadOf(text []byte) string {
	_, rest, _ := strings.Cut(string(text), `"payload": "`)
	payload, _, _ := strings.Cut(rest, `"`)
	return payload
}
