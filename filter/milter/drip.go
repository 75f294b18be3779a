package milter

import (
	"sync"
	"sync/atomic"
	"time"

	lib "github.com/emersion/go-milter"
)

const (
	// dripEvery is how often a message is dripped as long as Postfix does not pause. Postfix has default_process_limit tokens,
	// which is 100: there must be room for the messages that come until its queue manager has been woken.
	dripEvery = 40
	// dripLeast is how often at most.
	dripLeast = 5
	// dripCalm is how long Postfix must not have paused before fewer messages are dripped again.
	dripCalm = time.Minute
	// dripCohort is the time in which pauses count as one: connections pause together.
	dripCohort = 2 * time.Second
	// dripPause is what a pause lasts at least. in_flow_delay is a second, and Postfix does not wake up early.
	dripPause = 900 * time.Millisecond
	// dripSlow is when a pause is no longer Postfix's alone: the client is slow, and would be without the brake too.
	dripSlow = 3 * time.Second
	// dripBusy is how many messages pass in the time of a pause if not Postfix has paused but one of its clients.
	dripBusy = 50
	// dripRoom is how many messages may begin after Postfix was woken until the next waits for it to be woken again. The rest of
	// the tokens is for the other connections, and for the time until the queue manager has its turn.
	dripRoom = 60
	// dripPatience is the longest such wait. Postfix itself would wait for a second.
	dripPatience = 300 * time.Millisecond
	// dripWatch is of how many connections one watches for pauses: Postfix pauses on all connections, because it has one count of tokens.
	dripWatch = 8
	// dripRcpts is the most recipients of a message that is dripped: Postfix reads the whole envelope again for each.
	dripRcpts = 100
)

// drip keeps a Postfix awake that sees none of its messages through: see "The brake of Postfix" in the package comment. It
// says which of the messages that are taken shall be accepted without recipients in place of being discarded.
//
// Postfix brakes all its listeners by one count of tokens, so all connections of a door share a drip. Its methods may be
// called from any goroutine.
type drip struct {
	on    bool
	count atomic.Uint64 // messages dripped

	mu      sync.Mutex
	every   int           // one message of so many is dripped
	since   int           // messages discarded since the last that was not
	spent   int           // messages begun since Postfix was woken last, as far as it says so
	flying  int           // messages that were to wake it, and on which it has not gone on yet
	woken   chan struct{} // closed when it goes on
	conns   uint64        // connections of the MTA
	watches uint64        // those of them on which a pause shows
	passed  uint64        // messages that Postfix let pass without a pause, as far as one would have shown
	paused  time.Time     // when Postfix paused last, or when fewer messages were dripped after that
	lowered time.Time     // when every was lowered last
}

func newDrip(on bool) *drip { return &drip{on: on, every: dripEvery, woken: make(chan struct{})} }

// wantsWatch is asked for a connection that begins, and reports whether pauses shall show on it.
func (d *drip) wantsWatch() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.on && d.watches*dripWatch <= d.conns
}

// enter counts a connection, and leave is called for it when it has ended.
func (d *drip) enter(watches bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns++; watches {
		d.watches++
	}
}

func (d *drip) leave(watches bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conns--; watches {
		d.watches--
	}
}

// busy reports that many messages have passed since w began. Those on connections that do not watch are reckoned. The caller holds mu.
func (d *drip) busy(w wait) bool {
	return (d.passed-w.passed)*max(d.conns, 1) >= dripBusy*max(d.watches, 1)
}

// choose is asked about a message that is taken for all its recipients, and reports whether it shall be dripped. fit says
// whether it may be.
func (d *drip) choose(fit bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.since++; !fit || d.since < d.every {
		return false
	}
	d.since = 0
	return true
}

// noteAccepted is called for a message that is accepted for other reasons: it wakes the queue manager as well.
func (d *drip) noteAccepted() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since = 0
}

// launch is called with the answer to a message that wakes Postfix's queue manager.
func (d *drip) launch() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flying++
}

// land is called when Postfix goes on after such an answer: the queue file is on the disk, and the queue manager was woken.
func (d *drip) land() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.flying--
	d.spent = 0
	close(d.woken)
	d.woken = make(chan struct{})
}

// holdBack waits, before a message is taken, until Postfix was woken: if it has paused of late, has few tokens left and is about to
// be woken. A slow disk then costs what it takes, and not a second on each connection.
func (d *drip) holdBack() {
	d.mu.Lock()
	woken := d.woken
	tight := d.flying > 0 && d.spent >= dripRoom && !d.paused.IsZero() && time.Since(d.paused) < dripCalm
	d.mu.Unlock()
	if !tight {
		return
	}
	limit := time.NewTimer(dripPatience)
	defer limit.Stop()
	select {
	case <-woken:
	case <-limit.C:
	}
}

// wait is the time in which Postfix opens its queue file for a message: from our answer to the first recipient to the next
// command. Only there it pauses. The zero value is a wait that has not begun.
type wait struct {
	began  time.Time
	passed uint64 // drip.passed at that time
	over   bool
}

// beginWait is called with the answer to the first recipient of a message.
func (d *drip) beginWait(now time.Time) wait {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.spent++
	return wait{began: now, passed: d.passed}
}

// endWait is called when Postfix goes on with the message. It returns the number of messages of which one is dripped from now
// on when that has been lowered, else 0.
func (d *drip) endWait(w wait, now time.Time) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	pause := now.Sub(w.began)
	if pause < dripPause {
		d.passed++
	}
	if pause < dripPause || pause >= dripSlow || d.busy(w) {
		d.relax(now)
		return 0
	}
	d.paused = now
	if d.every == dripLeast || now.Sub(d.lowered) < dripCohort {
		return 0
	}
	d.every, d.lowered = max(d.every/2, dripLeast), now
	return d.every
}

// relax drips fewer messages when Postfix has not paused for long. The caller holds mu.
func (d *drip) relax(now time.Time) {
	if d.every < dripEvery && now.Sub(d.paused) >= dripCalm {
		d.every, d.paused = min(2*d.every, dripEvery), now
	}
}

// enterDrip is called when the terms of the connection are known, and leaveDrip at its end.
func (s *session) enterDrip() {
	s.enrolled = true
	s.drip.enter(s.granted.waits(lib.CodeRcpt))
}

func (s *session) leaveDrip() {
	if s.enrolled {
		s.enrolled = false
		s.drip.leave(s.granted.waits(lib.CodeRcpt))
	}
}

// beginOpening is called with the answer to each recipient, nil for none. Where the MTA was given none, a pause cannot be told from the
// client's.
func (s *session) beginOpening(r *reply) {
	if s.drip.on && !s.sendmail && s.opening.began.IsZero() {
		s.opening = s.drip.beginWait(time.Now())
		s.opening.over = r == nil
	}
}

// endOpening is called with each command.
func (s *session) endOpening(code lib.Code) {
	s.landed()
	if s.opening.began.IsZero() || s.opening.over {
		return
	}
	s.opening.over = true
	if code == lib.CodeAbort || code == lib.CodeQuit {
		return
	}
	if every := s.drip.endWait(s.opening, time.Now()); every > 0 {
		s.intake.Warn("Postfix pauses for in_flow_delay; more of the messages that are taken wake it from now on", "one_in", every)
	}
}

// noteAccepted is called with the answer to a message that is accepted after its recipients were deleted.
func (s *session) noteAccepted() {
	if s.drips {
		s.drip.count.Add(1)
	}
	if s.drip.on && !s.sendmail {
		s.wakes = true
		s.drip.launch()
	}
}

// landed is called with each command, and at the end of the connection.
func (s *session) landed() {
	if s.wakes {
		s.wakes = false
		s.drip.land()
	}
}

// mayDrip decides about a message that is about to be taken. Sendmail has no brake.
func (s *session) mayDrip() bool {
	switch {
	case s.sendmail || !s.drip.on:
		return false
	case s.mail.Partial():
		s.drip.noteAccepted()
		return false
	}
	return s.drip.choose(s.granted.does(lib.OptRemoveRcpt) && s.mail.Plain(dripRcpts))
}
