package snapshot

import (
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// writeGolden makes TestGolden write the files of the present format instead of reading them. Those of an older format
// are what an older program wrote; nothing can make them again.
var writeGolden = flag.Bool("golden", false, "write testdata of the present format")

// restored is a message as a recovery gave it, in a form to keep.
type restored struct {
	ID      string
	QueueID string
	relay.Envelope
	Unheard         bool `json:",omitempty"` // since format 2
	Head            string
	Body            string // SHA-256
	EightBit        bool
	Class           string
	Rule, Client    string
	Flow            relay.FlowName `json:",omitzero"` // since format 3
	Arrived, Taken  time.Time
	Nodes           []restoredNode
	BodyBytes       int
	AllRcpts, Rcpts int
}

type restoredNode struct {
	Index  int
	Rcpts  []int
	Class  string
	Visits int
	Due    time.Time
	Reason string
	Begun  bool `json:",omitempty"` // since format 2
}

func toKeep(saved []relay.Saved) []restored {
	var all []restored
	for _, s := range saved {
		m := s.Message
		r := restored{
			ID: strconv.FormatUint(uint64(m.ID), 36), QueueID: m.QueueID(), Envelope: m.Slip.Envelope, Unheard: s.Unheard, Head: string(m.Content.Head()),
			Body: fmt.Sprintf("%x", sha256.Sum256(m.Content.Body())), BodyBytes: len(m.Content.Body()), EightBit: m.Content.Facts()&relay.EightBitFacts != 0, Class: m.Class(),
			Rule: m.Rule(), Client: m.Client(), Flow: m.Flow(), Arrived: m.Arrived().UTC(), Taken: m.Taken().UTC(), AllRcpts: m.RcptCount(),
		}
		for _, n := range s.Nodes {
			if !n.Due.IsZero() {
				n.Due = n.Due.UTC()
			}
			r.Nodes = append(r.Nodes, restoredNode(n))
			r.Rcpts += len(n.Rcpts)
		}
		all = append(all, r)
	}
	return all
}

// TestGolden recovers state directories as programs of each format left them, and finds in them what was in them then.
func TestGolden(t *testing.T) {
	for version := 1; version <= format.Version; version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			dir := filepath.Join("testdata", fmt.Sprintf("format%d", version))
			if *writeGolden && version == format.Version {
				makeGolden(t, dir)
			}
			state := filepath.Join(t.TempDir(), "state")
			must(t, os.CopyFS(state, os.DirFS(filepath.Join(dir, "state"))))
			must(t, Verify(state))
			_, saved, r := mustStart(t, osFS{state}, smallConfig())
			if !r.Healthy() || r.Clean || r.Messages != len(saved) || r.Done == 0 {
				t.Errorf("%s: %+v", &r, r)
			}
			got, err := json.MarshalIndent(toKeep(saved), "", " ")
			must(t, err)
			golden := filepath.Join(dir, "restored.json")
			if *writeGolden && version == format.Version {
				must(t, os.WriteFile(golden, got, 0o644))
			}
			want, err := os.ReadFile(golden)
			must(t, err)
			if string(got) != string(want) {
				t.Errorf("recovered %d messages that are not those of %s:\n%s", len(saved), golden, got)
			}
		})
	}
}

// copyGolden makes dir the state directory that a program of a version left.
func copyGolden(t *testing.T, version int, dir string) {
	must(t, os.CopyFS(dir, os.DirFS(filepath.Join("testdata", fmt.Sprintf("format%d", version), "state"))))
}

// makeGolden leaves a state directory as kill -9 does: several segments, copies, soft state in snapshot and journal.
func makeGolden(t *testing.T, dir string) {
	m, w := newMemFS(), newWorld()
	a, _, _ := mustStart(t, m, smallConfig())
	w.campaign(t, a, 60)
	for i, id := range w.order[:40] {
		if i != 3 && i != 30 {
			w.settle(a, id, 0)
			if i%4 == 0 {
				w.settle(a, id, 1+i/4%2)
			}
			if i%4 == 0 && i < 24 {
				w.settle(a, id, 2-i/4%2)
			}
		}
	}
	waits := func(i, visits int) {
		n := w.offered[w.order[i]].Node(0)
		n.Resume(relay.SavedNode{Rcpts: n.Rcpts(), Visits: visits, Due: time.Unix(1800000000+int64(i), 0), Reason: fmt.Sprintf("451 4.7.1 try %d later", visits)})
		a.Event(&relay.Event{Kind: relay.EventDeferred, Message: n.Message, Node: n, Rcpt: -1})
	}
	begins := func(i int) { a.Begin(w.offered[w.order[i]].Node(0)) }
	begins(3)
	begins(41)
	begins(42)
	waits(3, 1)
	waits(40, 2)
	must(t, w.flush(a))
	must(t, a.WriteSnapshot())
	waits(40, 3)
	waits(42, 1)
	a.Event(&relay.Event{Kind: relay.EventSettled, Message: w.offered[w.order[45]], Outcome: relay.HandedBack})
	a.Event(&relay.Event{Kind: relay.EventReported, Message: w.offered[w.order[46]]})
	a.Event(&relay.Event{Kind: relay.EventRemoved, Message: w.offered[w.order[47]], Rcpt: -1})
	w.campaign(t, a, 6)
	begins(61)
	w.settle(a, w.order[44], 1)
	must(t, w.flush(a))
	must(t, os.RemoveAll(dir))
	m.killed().writeTo(t, filepath.Join(dir, "state"))
}

// writeTo makes dir hold what m holds.
func (m *memFS) writeTo(t *testing.T, dir string) {
	for name, i := range m.names {
		path := filepath.Join(dir, name)
		if i.dir {
			must(t, os.MkdirAll(path, 0o755))
			continue
		}
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, i.data, 0o644))
	}
}
