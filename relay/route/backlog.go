package route

// lane says in which queue a job stands.
type lane uint8

const (
	familiar lane = iota // the name has a Route that needs a refresh
	fresh                // nothing is known about the name
	slow                 // the name kept us waiting, or failed last time
	lanes
)

// job is one name that must be looked up, with the callbacks that wait for it.
type job struct {
	domain  string
	waiters []func(*Route)
	lane    lane
}

// tell runs the callbacks. No lock is held: a callback may ask the Resolver again.
func (j *job) tell(rt *Route) {
	for _, call := range j.waiters {
		call(rt)
	}
}

// backlog holds the jobs that no worker has taken yet, a queue for each lane, in
// the order of wanting. Resolver.mu guards it.
type backlog struct {
	limit  int // of each queue
	share  int // how many workers slow jobs may occupy
	busy   int // how many workers slow jobs occupy
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

// pop takes the next job, nil if there is none that may be started now. Slow jobs
// go first up to their share: otherwise a steady stream of other names would stop
// them for ever. While no other job waits, slow jobs may have twice their share.
// The rest of the workers stays free for names that come later.
func (b *backlog) pop() *job {
	room := b.share
	if b.len() == b.queues[slow].len() {
		room *= 2
	}
	if b.queues[slow].len() > 0 && b.busy < room {
		b.busy++
		return b.queues[slow].pop()
	}
	for _, l := range []lane{familiar, fresh} {
		if b.queues[l].len() > 0 {
			return b.queues[l].pop()
		}
	}
	return nil
}

// done gives the worker of a job back.
func (b *backlog) done(j *job) {
	if j.lane == slow {
		b.busy--
	}
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
