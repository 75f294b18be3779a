package route

import "time"

// lane says in which queue a job stands.
type lane uint8

const (
	familiar lane = iota // the name has a Route that needs a refresh
	fresh                // nothing is known about the name
	again                // the name stepped aside for others before its time was over
	slow                 // the name was silent for Config.Quick, or failed last time
	lanes
)

// job is one name that must be looked up, with the callbacks that wait for it.
type job struct {
	domain  string
	waiters []func(*Route)
	lane    lane
	looks   int // how often it has stepped aside in its lane, or in the quick ones
}

// turn is how long the job may be silent before it steps aside for others: each
// time longer, and in the slow lane sooner its whole patience. There it has a few
// short turns too: its first question may have been lost, or its name server may
// have found out by now, and it must not wait until each dead name before it has
// had seconds.
func (j *job) turn() time.Duration {
	switch {
	case j.lane != slow:
		return least << j.looks
	case j.looks < slowTurns:
		return least << (2*j.looks + 1)
	}
	return never
}

const (
	slowTurns = 2              // short turns in the slow lane
	never     = 24 * time.Hour // longer than any patience
)

// tell runs the callbacks. No lock is held: a callback may ask the Resolver again.
func (j *job) tell(rt *Route) {
	for _, call := range j.waiters {
		call(rt)
	}
}

// backlog holds the jobs that no lookup has begun for, a queue for each lane,
// in the order of wanting. Resolver.mu guards it.
type backlog struct {
	limit  int // of each queue
	turns  int // how many quick jobs were begun
	queues [lanes]fifo
}

// push adds a job; false means that its queue is full.
func (b *backlog) push(j *job) bool {
	q := &b.queues[j.lane]
	if q.len() >= b.limit {
		return false
	}
	q.push(j)
	return true
}

// everyEighth: one quick name in so many is a name that has stepped aside before.
// Otherwise a steady stream of new names would keep it waiting for ever.
const everyEighth = 8

// upNext is the lane whose turn it is among the quick ones, or the slow lane;
// false means that there is no such job.
func (b *backlog) upNext(slowly bool) (lane, bool) {
	order := []lane{familiar, fresh, again}
	switch {
	case slowly:
		order = []lane{slow}
	case b.turns%everyEighth == everyEighth-1:
		order = []lane{again, familiar, fresh}
	}
	for _, l := range order {
		if b.queues[l].len() > 0 {
			return l, true
		}
	}
	return 0, false
}

// pop takes the next job, nil if there is none.
func (b *backlog) pop(slowly bool) *job {
	l, ok := b.upNext(slowly)
	if !ok {
		return nil
	}
	if !slowly {
		b.turns++
	}
	return b.queues[l].pop()
}

// len is how many jobs wait.
func (b *backlog) len() int {
	n := 0
	for i := range b.queues {
		n += b.queues[i].len()
	}
	return n
}

// fifo is a queue of jobs in a slice whose spent front is reused.
type fifo struct {
	jobs []*job
	head int
}

func (q *fifo) len() int { return len(q.jobs) - q.head }

func (q *fifo) push(j *job) {
	if q.head > 0 && q.head*2 >= len(q.jobs) {
		n := copy(q.jobs, q.jobs[q.head:])
		clear(q.jobs[n:])
		q.jobs, q.head = q.jobs[:n], 0
	}
	q.jobs = append(q.jobs, j)
}

func (q *fifo) pop() *job {
	j := q.jobs[q.head]
	q.jobs[q.head] = nil
	q.head++
	return j
}
