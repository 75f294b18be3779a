package relay

import (
	"fmt"
	"hash/maphash"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// indexed is an index beside a map.
type indexed struct {
	*index
	t    testing.TB
	want map[ID]*Message
}

func newIndexed(t testing.TB) *indexed {
	return &indexed{newIndex(maphash.MakeSeed()), t, make(map[ID]*Message)}
}

func (x *indexed) put(id ID, name string) {
	m := &Message{ID: id, Slip: &Slip{QueueID: name}}
	x.add(m)
	x.want[id] = m
}

func (x *indexed) drop(id ID) {
	x.remove(x.want[id])
	delete(x.want, id)
}

// check compares all that can be asked.
func (x *indexed) check() {
	x.t.Helper()
	ids := slices.Sorted(maps.Keys(x.want))
	var got []ID
	for next := ID(0); ; {
		some := x.from(next, make([]*Message, 0, 7))
		if len(some) == 0 {
			break
		}
		for _, m := range some {
			got = append(got, m.ID)
		}
		next = got[len(got)-1] + 1
	}
	if !slices.Equal(got, ids) {
		x.t.Fatalf("%d messages in the index, %d are here", len(got), len(ids))
	}
	for id, m := range x.want {
		if x.byID(id) != m {
			x.t.Fatalf("%d is not found", id)
		}
		if other, sure := x.named(m.QueueID()); m.QueueID() != "" && sure && other != m {
			x.t.Fatalf("%d is not found as %s", id, m.QueueID())
		}
	}
}

// room is how many messages could stand in the pages.
func (x *indexed) room() int { return len(x.pages) * pageSize }

// TestIndex: whatever comes and goes in whatever order, the index has it, in order.
func TestIndex(t *testing.T) {
	for name, next := range map[string]func(i int) ID{
		"in order":          func(i int) ID { return ID(i + 1) },
		"backwards":         func(i int) ID { return ID(1<<40 - i) },
		"at random":         func(int) ID { return ID(rand.Uint64()) },
		"of several starts": func(i int) ID { return ID(i%3)<<40 | ID(i/3) },
		"around a border":   func(i int) ID { return ID(1<<32-1000) + ID(rand.IntN(2000)) },
	} {
		t.Run(name, func(t *testing.T) {
			x := newIndexed(t)
			for i := range 5000 {
				id := next(i)
				if x.want[id] != nil {
					x.drop(id)
				}
				x.put(id, fmt.Sprintf("4Z%d", i))
				if rand.IntN(3) == 0 {
					for id := range x.want {
						x.drop(id)
						break
					}
				}
			}
			x.check()
			x.named("4Z")
			x.byID(12345)
			for id := range x.want {
				x.drop(id)
			}
			if x.check(); len(x.pages) != 0 || len(x.names.only) != 0 || len(x.names.many) != 0 {
				t.Errorf("%d pages, %d names are left", len(x.pages), len(x.names.only))
			}
		})
	}
}

// TestIndexIsFull: messages that come in order fill their pages, and those that stay when most have gone do not keep them.
func TestIndexIsFull(t *testing.T) {
	x := newIndexed(t)
	const n = 100 * pageSize
	for i := range n {
		x.put(ID(i+1), "")
	}
	if x.room() != n {
		t.Errorf("room for %d, want %d", x.room(), n)
	}
	for id := range ID(n) {
		if id%50 != 0 {
			x.drop(id)
		}
	}
	if x.check(); x.room() > 4*len(x.want) {
		t.Errorf("room for %d, and %d are left", x.room(), len(x.want))
	}
}

// TestIndexKnowsNamesThatComeAgain: while two messages have one queue id, or one did, nobody takes one of them for the only one.
func TestIndexKnowsNamesThatComeAgain(t *testing.T) {
	x := newIndexed(t)
	x.put(1, "4Z")
	x.put(2<<40|1, "4Z") // with the same lower half
	if m, sure := x.named("4Z"); m != nil || sure {
		t.Errorf("%v, sure %t", m, sure)
	}
	x.drop(1)
	if m, sure := x.named("4Z"); m != nil || sure {
		t.Errorf("one has left: %v, sure %t", m, sure)
	}
	x.drop(2<<40 | 1)
	if m, sure := x.named("4Z"); m != nil || !sure {
		t.Errorf("both have left: %v, sure %t", m, sure)
	}
	x.put(3, "4Z")
	if m, sure := x.named("4Z"); m != x.want[3] || !sure {
		t.Errorf("a third one: %v, sure %t", m, sure)
	}
}

// TestIndexBytes: what the index takes is little beside a message.
func TestIndexBytes(t *testing.T) {
	const n = 200_000
	all := make([]Message, n)
	for i := range all {
		all[i].ID, all[i].Slip = ID(i+1), &Slip{QueueID: crowdName(i)}
	}
	before := heapInUse()
	x := newIndex(maphash.MakeSeed())
	for i := range all {
		x.add(&all[i])
	}
	if each := (int64(heapInUse()) - int64(before)) / n; each > 36 {
		t.Errorf("%d bytes a message", each)
	}
	if m, sure := x.named(crowdName(n / 2)); m != &all[n/2] || !sure {
		t.Errorf("%v, sure %t", m, sure)
	}
}

// FuzzIndex adds and removes what the bytes say.
func FuzzIndex(f *testing.F) {
	f.Add([]byte{1, 2, 3, 200, 1, 130})
	f.Fuzz(func(t *testing.T, ops []byte) {
		x := newIndexed(t)
		for _, b := range ops {
			id := ID(b&3)<<32 | ID(b>>2&15)
			switch {
			case x.want[id] != nil:
				x.drop(id)
			case b >= 128:
				x.put(id, fmt.Sprint(b&7))
			default:
				for i := range ID(pageSize) {
					if x.want[id+i] == nil {
						x.put(id+i, "")
					}
				}
			}
		}
		x.check()
	})
}

func BenchmarkIndex(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} {
		x := newIndex(maphash.MakeSeed())
		all := make([]Message, n+1)
		for i := range all {
			all[i].ID, all[i].Slip = ID(i+1), &Slip{QueueID: crowdName(i)}
			if i < n {
				x.add(&all[i])
			}
		}
		order := rand.Perm(n)
		b.Run(fmt.Sprintf("the newest leaves and comes/%d", n), func(b *testing.B) {
			for b.Loop() {
				x.add(&all[n])
				x.remove(&all[n])
			}
		})
		i := 0
		b.Run(fmt.Sprintf("any leaves and comes/%d", n), func(b *testing.B) {
			for b.Loop() {
				m := &all[order[i%n]]
				x.remove(m)
				x.add(m)
				i++
			}
		})
	}
}
