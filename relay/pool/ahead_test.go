package pool

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// slowDisk is a journal that syncs slowly what is asked of it meanwhile.
type slowDisk struct {
	relay.NoJournal
	blind bool // it does not hear what it must expect
	wake  chan bool

	mu       sync.Mutex
	next     slowRecord
	expected map[*relay.Node]slowRecord
	syncs    int
}

// slowRecord is closed when it is on the disk.
type slowRecord chan struct{}

func (r slowRecord) Done() <-chan struct{} { return r }
func (r slowRecord) Err() error            { return nil }

func newSlowDisk(blind bool) *slowDisk {
	return &slowDisk{blind: blind, wake: make(chan bool, 1), next: make(slowRecord), expected: make(map[*relay.Node]slowRecord)}
}

func (d *slowDisk) Begin(n *relay.Node) relay.Record {
	d.mu.Lock()
	defer d.mu.Unlock()
	if r, ok := d.expected[n]; ok {
		delete(d.expected, n)
		return r
	}
	d.hurry()
	return d.next
}

func (d *slowDisk) Expect(nodes []*relay.Node) {
	if d.blind {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, n := range nodes {
		d.expected[n] = d.next
	}
	d.hurry()
}

func (d *slowDisk) hurry() {
	select {
	case d.wake <- true:
	default:
	}
}

// run syncs until wake is closed.
func (d *slowDisk) run() {
	for range d.wake {
		d.mu.Lock()
		r := d.next
		d.next = make(slowRecord)
		d.syncs++
		d.mu.Unlock()
		time.Sleep(5 * time.Millisecond)
		close(r)
	}
}

// TestSlowDisk: one sync is for many messages of an agent, and not for one or two, when its receiver is faster than the disk.
func TestSlowDisk(t *testing.T) {
	const messages = 300
	syncs := make(map[bool]int)
	for _, blind := range []bool{true, false} {
		d := newSlowDisk(blind)
		go d.run() // ends with wake
		w := newWorldOn(t, d, DefaultConfig(), time.Minute, 1, nil)
		w.listen("a.example", sink.Character{})
		for i := range messages {
			w.send(fmt.Sprintf("u%d@a.example", i))
		}
		w.drained()
		w.stop()
		d.mu.Lock()
		syncs[blind] = d.syncs
		d.mu.Unlock()
		close(d.wake)
	}
	if syncs[false]*4 > syncs[true] {
		t.Errorf("%d syncs for %d messages, and %d if nothing is expected", syncs[false], messages, syncs[true])
	}
	t.Logf("%d syncs, %d if nothing is expected", syncs[false], syncs[true])
}
