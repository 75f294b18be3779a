package snapshot

import (
	"sync"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// waitShards is so many that of a million nodes a thousand are in each shard: while a snapshot copies a shard, its lock is
// held, and an outcome must not wait longer than that.
const waitShards = 1024

// waits holds what every node that was deferred has learned. It is cut into shards with a lock each, so that a snapshot can
// copy one shard while the others are in use. A shard's lock comes after ledger.mu and before nothing.
type waits [waitShards]waitShard

// waitShard is one shard. Its map is made at the first wait: most shards of a small queue stay empty.
type waitShard struct {
	mu sync.Mutex
	m  map[format.Node]format.Wait
}

// shard picks by message, so that all nodes of a message are in one shard and are dropped under one lock. Messages that were taken
// one after the other share a shard: very many that an admin deletes leave in the same order, and find it in the cache.
func (t *waits) shard(id relay.ID) *waitShard { return &t[id/waitShards%waitShards] }

// learn remembers w for n.
func (t *waits) learn(n format.Node, w format.Wait) {
	sh := t.shard(relay.ID(n.ID))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if sh.m == nil {
		sh.m = make(map[format.Node]format.Wait)
	}
	sh.m[n] = w
}

// of returns what n has learned, and false when it never waited. Recovery and withdraw ask; no visit does.
func (t *waits) of(n format.Node) (format.Wait, bool) {
	sh := t.shard(relay.ID(n.ID))
	sh.mu.Lock()
	defer sh.mu.Unlock()
	w, ok := sh.m[n]
	return w, ok
}

// dropMessage forgets the nodes 0 … nodes-1 of a message.
func (t *waits) dropMessage(id relay.ID, nodes int) {
	sh := t.shard(id)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for n := range nodes {
		delete(sh.m, format.Node{ID: uint64(id), Index: uint32(n)})
	}
}

// prune forgets the messages that known does not know. Recovery reads what waited before it knows what is done.
func (s *waitShard) prune(known func(relay.ID) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := range s.m {
		if !known(relay.ID(n.ID)) {
			delete(s.m, n)
		}
	}
}

// nodes is the number of nodes that have waited, for Status.
func (t *waits) nodes() int {
	n := 0
	for i := range t {
		t[i].mu.Lock()
		n += len(t[i].m)
		t[i].mu.Unlock()
	}
	return n
}

// appendShard appends shard i as marks.
func (t *waits) appendShard(b []byte, i int) []byte {
	sh := &t[i]
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for n, w := range sh.m {
		b = format.AppendWait(b, n, w)
	}
	return b
}
