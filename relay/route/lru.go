package route

// lru is a map of limited size: a new key drives out the key that has not been
// used for longest. The zero value is not usable. Its owner's mutex guards it; get
// changes the order, so it needs the lock too.
type lru[K comparable, V any] struct {
	limit int
	nodes map[K]*node[K, V]
	ends  node[K, V] // ends.next is the latest used, ends.prev the oldest
}

// node is one entry in the ring of a lru.
type node[K comparable, V any] struct {
	key        K
	value      V
	prev, next *node[K, V]
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	l := &lru[K, V]{limit: limit, nodes: make(map[K]*node[K, V])}
	l.ends.prev, l.ends.next = &l.ends, &l.ends
	return l
}

// get finds a value and makes it the latest used.
func (l *lru[K, V]) get(key K) (V, bool) {
	n, ok := l.nodes[key]
	if !ok {
		var none V
		return none, false
	}
	n.unlink()
	l.front(n)
	return n.value, true
}

// put sets a value and makes it the latest used.
func (l *lru[K, V]) put(key K, value V) {
	n, ok := l.nodes[key]
	switch {
	case ok:
		n.unlink()
	case len(l.nodes) >= l.limit:
		n = l.ends.prev
		n.unlink()
		delete(l.nodes, n.key)
		n.key = key
		l.nodes[key] = n
	default:
		n = &node[K, V]{key: key}
		l.nodes[key] = n
	}
	n.value = value
	l.front(n)
}

// resize changes the limit. The keys that have not been used for longest go.
func (l *lru[K, V]) resize(limit int) {
	l.limit = limit
	for len(l.nodes) > limit {
		n := l.ends.prev
		n.unlink()
		delete(l.nodes, n.key)
	}
}

// len is how many entries there are.
func (l *lru[K, V]) len() int { return len(l.nodes) }

// front links a node in as the latest used.
func (l *lru[K, V]) front(n *node[K, V]) {
	n.prev, n.next = &l.ends, l.ends.next
	n.prev.next, n.next.prev = n, n
}

// unlink takes a node out of the ring.
func (n *node[K, V]) unlink() {
	n.prev.next, n.next.prev = n.next, n.prev
}
