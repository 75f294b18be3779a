package milter

import "time"

const (
	// progressEvery is how often the MTA hears that we are alive. Sendmail gives up after 10 seconds of silence by
	// default.
	progressEvery = 3 * time.Second
	// progressLimit is when we fall silent: the client behind the MTA would have given up by then.
	progressLimit = 4 * time.Minute
)

// progressFrame is SMFIR_PROGRESS, which the library has no name for. Sendmail accepts it at the end of a message only.
var progressFrame = []byte{0, 0, 0, 1, 'p'}

// peer is the MTA, as far as progress has to do with it.
type peer interface {
	write([]byte)
	hungUp() bool // the MTA has closed its side
}

// progress tells the MTA that we are alive while Accept takes its time. The timer runs only between start and stop. stop
// waits for a tick that is under way, so that nothing is written after the answer, and nobody but the connection's
// goroutine reads from the connection.
type progress struct {
	peer peer

	turn   chan struct{} // whoever has its token may touch what follows. No mutex: a tick waits for the network while it has it
	timer  *time.Timer
	active bool
	ticks  int
	hungUp bool
}

func (p *progress) lock()   { p.turn <- struct{}{} }
func (p *progress) unlock() { <-p.turn }

func (p *progress) start() {
	p.lock()
	defer p.unlock()
	p.active, p.ticks = true, 0
	if p.timer == nil {
		p.timer = time.AfterFunc(progressEvery, p.tick)
		return
	}
	p.timer.Reset(progressEvery)
}

func (p *progress) stop() {
	p.lock()
	defer p.unlock()
	p.active = false
	p.timer.Stop()
}

// tick runs in the timer's goroutine.
func (p *progress) tick() {
	p.lock()
	defer p.unlock()
	if !p.active {
		return
	}
	if p.ticks++; time.Duration(p.ticks)*progressEvery > progressLimit {
		return
	}
	if p.peer.hungUp() {
		p.hungUp = true
		return
	}
	p.peer.write(progressFrame) // a failure shows when the answer is written
	p.timer.Reset(progressEvery)
}

// gone reports whether the MTA hung up while it waited for the last answer.
func (p *progress) gone() bool {
	p.lock()
	defer p.unlock()
	return p.hungUp
}
