package snapshot

import (
	"sync"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// softShards is so many that of a million nodes a thousand are in each: as long as one is copied, its lock is held.
const softShards = 1024

// softStore holds the soft state of every node that waited after a visit. It is cut into shards so that a snapshot can
// copy one while the others are in use.
type softStore [softShards]softShard

type softShard struct {
	mu sync.Mutex
	m  map[format.Node]format.Wait
}

func (t *softStore) shard(id relay.ID) *softShard { return &t[id%softShards] }

func (t *softStore) put(k format.Node, s format.Wait) {
	sh := t.shard(relay.ID(k.ID))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m == nil {
		sh.m = make(map[format.Node]format.Wait)
	}
	sh.m[k] = s
}

func (t *softStore) at(k format.Node) (format.Wait, bool) {
	sh := t.shard(relay.ID(k.ID))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	s, ok := sh.m[k]
	return s, ok
}

// drop forgets the nodes 0 … nodes-1 of a message.
func (t *softStore) drop(id relay.ID, nodes int) {
	sh := t.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for n := range nodes {
		delete(sh.m, format.Node{ID: uint64(id), Index: uint32(n)})
	}
}

// prune forgets the messages keep does not know.
func (s *softShard) prune(keep func(relay.ID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.m {
		if !keep(relay.ID(k.ID)) {
			delete(s.m, k)
		}
	}
}

func (t *softStore) len() int {
	n := 0
	for i := range t {
		t[i].mu.Lock()
		n += len(t[i].m)
		t[i].mu.Unlock()
	}
	return n
}

// appendShard appends shard i as marks.
func (t *softStore) appendShard(b []byte, i int) []byte {
	sh := &t[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for k, s := range sh.m {
		b = format.AppendWait(b, k, s)
	}
	return b
}
