package relay

import (
	"fmt"
	"time"
)

// intakeLoad is what waits for the journal: the source design's backlog of 1,000 messages or 3 seconds. The gate's mutex guards it.
type intakeLoad struct {
	pending int       // messages whose commit is waited for
	moved   time.Time // when the last of them was committed, or the first began to wait
	commits meter
}

// begin counts a message that waits for its commit.
func (l *intakeLoad) begin(now time.Time) {
	if l.pending++; l.pending == 1 {
		l.moved = now
		l.commits.pause(false, now)
	}
}

// end counts a message whose commit is over, well or not.
func (l *intakeLoad) end(now time.Time, committed bool) {
	l.pending--
	l.moved = now
	if committed {
		l.commits.add(1, now)
	}
	if l.pending == 0 {
		l.commits.pause(true, now)
	}
}

// delay is how long the journal needs for what waits: by its rate, or, when it has stopped, at least as long as it has stood still.
func (l *intakeLoad) delay(now time.Time) time.Duration {
	if l.pending == 0 {
		return 0
	}
	stands := now.Sub(l.moved)
	if rate, known := l.commits.rate(now); known && rate > 0 {
		return max(stands, drainTime(l.pending, rate))
	}
	return stands
}

// behind says that the journal is behind, or returns "". When the gate is shut, half of a limit is still too much.
func (l *intakeLoad) behind(cfg GateConfig, shut bool, now time.Time) string {
	most, longest := cfg.MaxIntake, cfg.MaxIntakeDelay
	if shut {
		most, longest = (most+1)/2, longest/2
	}
	if l.pending >= most {
		return fmt.Sprintf("%d messages wait for the journal; gate.max_intake is %d", l.pending, cfg.MaxIntake)
	}
	if delay := l.delay(now); delay >= longest {
		return fmt.Sprintf("%d messages wait for the journal, which takes %s; gate.max_intake_delay is %s", l.pending, delay.Round(100*time.Millisecond), cfg.MaxIntakeDelay)
	}
	return ""
}

// BeginTake counts a message that waits for its commit, and EndTake that it does not any more.
func (g *Gate) BeginTake() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.intake.begin(time.Now())
}

// EndTake is called once for each BeginTake.
func (g *Gate) EndTake(committed bool) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	now := time.Now()
	g.intake.end(now, committed)
	if g.all.state != GateOpen {
		g.judge(now)
	}
}
