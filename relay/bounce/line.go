package bounce

// line is notices in a row. Each has the link to the next, so a line takes no memory of its own.
type line struct {
	first, last *notice
	n           int
}

// add puts n, which stands in no line, at the end.
func (l *line) add(n *notice) {
	n.next = nil
	l.join(line{n, n, 1})
}

// join puts a whole line at the end.
func (l *line) join(behind line) {
	switch {
	case behind.n == 0:
		return
	case l.n == 0:
		*l = behind
		return
	}
	l.last.next = behind.first
	l.last, l.n = behind.last, l.n+behind.n
}

// pop removes the first; nil: there is none.
func (l *line) pop() *notice {
	n := l.first
	if n == nil {
		return nil
	}
	l.first, n.next = n.next, nil
	if l.n--; l.n == 0 {
		l.last = nil
	}
	return n
}
