package route

import (
	"container/list"
	"context"
	"slices"
	"time"
)

// least is how long a name is waited for in any case. A living name has nearly
// always answered by then; one that has not steps aside when others wait for
// room. It has longer at its next look.
const least = 100 * time.Millisecond

// window bounds the questions that are outstanding at a time. Questions are
// what costs: a name costs a goroutine that sleeps. Resolver.mu guards it.
type window struct {
	slow    bool
	limit   int       // questions
	asked   int       // questions outstanding
	leaving int       // of them, those that were withdrawn a moment ago
	line    []*flight // lookups between two questions, which go before names that have not begun
	ripe    list.List // flights that may be told to step aside, the first silent for longest
}

// flight is one name being looked up, in a goroutine of its own. It asks the
// name servers in the place of Resolver.ex, when there is room for it.
type flight struct {
	r        *Resolver
	w        *window
	job      *job
	patience patience
	ctx      context.Context // done: the flight steps aside, or the resolver stops
	cancel   context.CancelFunc

	// Guarded by Resolver.mu.
	asks  int           // questions outstanding
	wants int           // questions it stands in line for
	room  chan struct{} // closed when it may ask them
	aside bool          // it was told to step aside
	turn  int           // counts the times it was given room
	mark  *list.Element // its place in window.ripe, nil when it has none
}

// exchange implements exchanger.
func (f *flight) exchange(ctx context.Context, qs []question, p patience) []answer {
	if !f.reserve(len(qs)) {
		return newBatch(qs).answers
	}
	defer f.endTurn()
	return f.r.ex.exchange(ctx, qs, p)
}

// reserve waits for room for n questions; false means that the flight has to
// end.
func (f *flight) reserve(n int) bool {
	f.r.mu.Lock()
	n = min(n, f.w.limit)
	if f.asks < n { // launch gave a new flight room for one
		f.w.vacate(f)
		f.wants, f.room = n, make(chan struct{})
		f.w.line = append(f.w.line, f)
		f.r.fillWindows()
	}
	room := f.room
	f.r.mu.Unlock()
	if room != nil {
		select {
		case <-room:
		case <-f.ctx.Done():
			f.endTurn()
		}
	}
	return f.ctx.Err() == nil
}

// endTurn returns the room for the questions of a flight, which lets others
// ask.
func (f *flight) endTurn() {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	f.w.vacate(f)
	f.r.fillWindows()
}

// ripen marks a flight that nothing was heard of since its nth turn.
func (f *flight) ripen(turn int) {
	f.r.mu.Lock()
	defer f.r.mu.Unlock()
	if f.turn == turn && f.asks > 0 && f.mark == nil && !f.aside {
		f.mark = f.w.ripe.PushBack(f)
		f.r.fillWindows()
	}
}

// grant gives a flight room for n questions.
func (w *window) grant(f *flight, n int) {
	w.asked += n
	f.asks, f.wants = n, 0
	f.turn++
	if turn, wait := f.turn, f.job.turn(); wait < f.patience.total {
		time.AfterFunc(wait, func() { f.ripen(turn) })
	}
}

// vacate takes a flight out of the window, wherever it is.
func (w *window) vacate(f *flight) {
	w.asked -= f.asks
	if f.aside {
		w.leaving -= f.asks
	}
	f.asks = 0
	if f.mark != nil {
		w.ripe.Remove(f.mark)
		f.mark = nil
	}
	if f.wants > 0 {
		w.line = slices.DeleteFunc(w.line, func(g *flight) bool { return g == f })
		f.wants = 0
	}
}

// aside is the lane of a name that has stepped aside in this window.
func (w *window) aside() lane {
	if w.slow {
		return slow
	}
	return again
}

// fillWindows lets lookups ask, and names begin, for which there is room; r.mu is
// held.
func (r *Resolver) fillWindows() {
	if r.ctx == nil || r.stopped {
		return
	}
	for _, w := range r.windows {
		for r.fillOne(w) {
		}
	}
}

// fillOne lets the first one in line ask, or the next name begin; false means
// that nothing waits or nothing fits.
func (r *Resolver) fillOne(w *window) bool {
	if len(w.line) > 0 {
		f := w.line[0]
		if !r.makeRoom(w, f.wants) {
			return false
		}
		w.line = w.line[1:]
		w.grant(f, f.wants)
		close(f.room)
		return true
	}
	if _, ok := r.backlog.upNext(w.slow); !ok || !r.makeRoom(w, 1) {
		return false
	}
	r.launch(w, r.backlog.pop(w.slow))
	return true
}

// makeRoom reports whether n more questions may be asked. If not, the flights
// that have been silent for longest are told to step aside; their room is free
// when they have ended.
func (r *Resolver) makeRoom(w *window, n int) bool {
	for w.asked-w.leaving+n > w.limit && w.ripe.Len() > 0 {
		if r.backlog.queues[w.aside()].len()+w.leaving >= r.backlog.limit {
			break // nowhere to step to
		}
		f := w.ripe.Remove(w.ripe.Front()).(*flight)
		f.mark, f.aside = nil, true
		w.leaving += f.asks
		f.cancel()
	}
	return w.asked+n <= w.limit
}

// launch begins the lookup of a name; r.mu is held.
func (r *Resolver) launch(w *window, j *job) {
	f := &flight{r: r, w: w, job: j, patience: r.patience(j)}
	f.ctx, f.cancel = context.WithCancel(r.ctx)
	r.status.InFlight++
	w.grant(f, 1)
	r.wg.Go(func() { r.work(f) }) // ends with its patience, or with r.ctx
}
