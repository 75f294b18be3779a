package snapshot

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/millrace/millrace/relay"
)

// rollEntry is the entry of a message with this id that stands in s.
func rollEntry(r *roll, s *segment, id relay.ID, copied bool) *entry {
	e := newEntry(&relay.Message{ID: id}, nil)
	e.stand(place{seg: s}, copied)
	r.enter(e)
	return e
}

// TestRoll: the roll has what a map would have.
func TestRoll(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	r, want, s := newRoll(), make(map[relay.ID]*entry), new(segment)
	for range 20_000 {
		id := relay.ID(1<<epochShift + rng.Uint64N(300))
		switch e := want[id]; {
		case r.of(id) != e:
			t.Fatalf("%v of %d, want %v", r.of(id), id, e)
		case e != nil:
			r.drop(id)
			delete(want, id)
		default:
			want[id] = rollEntry(&r, s, id, false)
		}
		if r.n != len(want) {
			t.Fatalf("%d messages, want %d", r.n, len(want))
		}
	}
	for id := range want {
		r.drop(id)
	}
	if len(r.leaves) > 0 {
		t.Errorf("%d leaves are kept for nobody", len(r.leaves))
	}
}

// TestWalk: a walk finds each message that stands in a segment, whatever its id, and none twice, in walks of any length.
func TestWalk(t *testing.T) {
	r, other, s := newRoll(), new(segment), new(segment)
	const epoch = relay.ID(7 << epochShift)
	var want []relay.ID
	add := func(id relay.ID, copied bool) {
		rollEntry(&r, s, id, copied)
		want = append(want, id)
	}
	add(epoch-5000, true) // of the epoch before
	for id := epoch + 1000; id < epoch+1300; id += 3 {
		add(id, false)
		rollEntry(&r, other, id+1, false)
	}
	add(epoch+7, false) // whose door took its time
	add(epoch+1000+maxGap, false)
	add(epoch+100*maxGap, false)
	add(epoch+9*maxGap, true)
	for _, most := range []int{1, 2, 7, 1000} {
		var got []relay.ID
		moved := new(segment)
		for tries := 0; s.lives.n > 0 && tries < 1000; tries++ {
			n := 0
			r.walk(s, func(e *entry) bool {
				if n == most {
					return false
				}
				n++
				got = append(got, e.msg.ID)
				e.leave()
				e.stand(place{seg: moved}, true)
				return true
			})
		}
		if s.lives.n != 0 || moved.lives.n != len(want) {
			t.Errorf("%d stay and %d have moved of %d", s.lives.n, moved.lives.n, len(want))
		}
		for _, id := range got { // as when the copies cannot be written
			e := r.of(id)
			e.leave()
			e.seg = s
			s.lives.back()
		}
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("walks of %d find %d, want %d", most, got, want)
		}
	}
}

// TestLongWalk: a walk over ids that nobody has any more holds the lock for a while only.
func TestLongWalk(t *testing.T) {
	r, s := newRoll(), new(segment)
	rollEntry(&r, s, 1, false)
	rollEntry(&r, s, maxGap, false)
	found, walks := 0, 0
	for ; found < 2 && walks < 100; walks++ {
		if tired := r.walk(s, func(*entry) bool { found++; return true }); tired != (found < 2) {
			t.Errorf("after %d messages it is tired: %v", found, tired)
		}
	}
	if want := maxGap>>leafBits/maxLooks + 1; found != 2 || walks != want {
		t.Errorf("%d messages in %d walks, want 2 in %d", found, walks, want)
	}
}

// TestLedgerWeighed: what the ledger keeps of a message that waits, beside the message.
func TestLedgerWeighed(t *testing.T) {
	const n = 100_000
	messages := make([]relay.Message, n)
	weigh := func(every int) int64 {
		before := heapInUse()
		r, s := newRoll(), new(segment)
		for i := range messages {
			m := &messages[i]
			m.ID = relay.ID(1<<epochShift + i*every)
			e := newEntry(m, nil)
			e.stand(place{seg: s}, false)
			r.enter(e)
		}
		took := heapInUse() - before
		runtime.KeepAlive(r)
		return took / n
	}
	row, alone := weigh(1), weigh(1<<leafBits)
	t.Logf("%d bytes a message, %d for one whose neighbours are gone", row, alone)
	if row > 48 || alone > 160 {
		t.Errorf("%d bytes a message, %d for one whose neighbours are gone; want 48 and 160 at most", row, alone)
	}
}
