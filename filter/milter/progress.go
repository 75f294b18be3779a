package milter

import (
	"sync"
	"time"
)

const (
	// progressEvery is how often the MTA hears that we are alive. Sendmail waits 10 seconds unless told otherwise.
	progressEvery = 3 * time.Second
	// progressLimit ends it: the client behind the MTA has a patience of its own.
	progressLimit = 4 * time.Minute
)

// progressFrame is SMFIR_PROGRESS, which the library has no name for. Sendmail knows it at the end of a message only.
var progressFrame = []byte{0, 0, 0, 1, 'p'}

// progress tells the MTA that we are alive while Accept takes its time. The timer belongs to the connection; it runs
// only between start and stop, and stop waits for a tick that is under way, so that nothing is written after the
// answer and the reader is back with the connection's goroutine.
type progress struct {
	conn *conn

	mu     sync.Mutex
	timer  *time.Timer
	active bool
	ticks  int
	hungUp bool
}

func (p *progress) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active, p.ticks = true, 0
	if p.timer == nil {
		p.timer = time.AfterFunc(progressEvery, p.tick)
		return
	}
	p.timer.Reset(progressEvery)
}

func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.active = false
	p.timer.Stop()
}

// tick runs in the timer's goroutine.
func (p *progress) tick() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.active {
		return
	}
	if p.ticks++; time.Duration(p.ticks)*progressEvery > progressLimit {
		return
	}
	if p.conn.frames.gone() {
		p.hungUp = true
		return
	}
	p.conn.Write(progressFrame)
	p.timer.Reset(progressEvery)
}

// gone reports whether the MTA hung up while it waited.
func (p *progress) gone() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hungUp
}
