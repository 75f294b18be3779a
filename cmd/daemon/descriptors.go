package daemon

import (
	"fmt"
	"syscall"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
)

// perChannel is how many descriptors one of the configured channels may cost: package pool has as many agents with a
// channel, four times as many on probation, four times as many that are slow at least, and as many idle connections.
const perChannel = 1 + 4 + 4 + 1

// shares is how the file descriptors of the process are shared out, so that no part can take them all. A daemon without
// descriptors could neither answer the MTA nor deliver.
type shares struct {
	sessions int // of the milter door; it serves up to twice as many, to say clearly that the rest of their mail passes
	smtpd    int // sessions of the SMTP door; each may cost a connection to the MTA too
	channels int // of the pool
	slow     int // agents of the pool whose receivers do not answer
}

// slowEnough is how many agents may wait for receivers that do not answer, if there are descriptors for them: a thousand sites
// that hang at once do not take a channel from the others then.
const slowEnough = 2000

// openFiles is the limit of open files, RLIMIT_NOFILE. The Go runtime has raised the soft limit to the hard one.
func openFiles() (uint64, error) {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("limit of open files: %w", err)
	}
	return r.Cur, nil
}

// shareOut gives sessions and channels the numbers of the file if limit has room for them. If not, journal, logs, control
// socket and DNS come first. Of the rest sessions get a quarter, because they are answered at once, and channels get the
// other three.
func shareOut(limit uint64, cfg *config.Config) shares {
	const others = 192 // control socket 64, DNS 64, journal and logs with room
	left := int(min(limit, 1<<30))
	left -= min(others, left/4)
	s := shares{sessions: cfg.Milter.MaxSessions, channels: cfg.Queue.Channels}
	if cfg.SMTPD.On() {
		s.smtpd = cfg.SMTPD.MaxSessions
	}
	if s.doors()+perChannel*s.channels > left {
		quarter := max(left/4/2, 1)
		if s.smtpd > 0 {
			quarter = max(quarter/2, 1)
			s.smtpd = min(s.smtpd, quarter)
		}
		s.sessions = min(s.sessions, quarter)
		s.channels = min(s.channels, max((left-s.doors())/perChannel, 1))
	}
	spare := max(left-s.doors()-perChannel*s.channels, 0)
	s.slow = 4*s.channels + min(spare, max(slowEnough-4*s.channels, 0))
	return s
}

// doors is how many descriptors the sessions of both doors may cost.
func (s shares) doors() int { return 2*s.sessions + 2*s.smtpd }

// tell logs the shares. It warns, with the repair, if the file asks for more: mail would be slow without a visible cause.
func (s shares) tell(limit uint64, cfg *config.Config, log hclog.Logger) {
	args := []any{"limit", limit, "milter_sessions", 2 * s.sessions, "smtpd_sessions", s.smtpd, "channels", s.channels, "probation", 4 * s.channels, "slow", s.slow, "idle", s.channels}
	if s.sessions == cfg.Milter.MaxSessions && s.channels == cfg.Queue.Channels && (s.smtpd == 0 || s.smtpd == cfg.SMTPD.MaxSessions) {
		log.Info("open files", args...)
		return
	}
	need := 192 + 2*cfg.Milter.MaxSessions + perChannel*cfg.Queue.Channels
	if s.smtpd > 0 {
		need += 2 * cfg.SMTPD.MaxSessions
	}
	log.Warn(fmt.Sprintf("the limit of open files is too low for milter.max_sessions = %d and queue.channels = %d: both are smaller until LimitNOFILE is at least %d",
		cfg.Milter.MaxSessions, cfg.Queue.Channels, need), args...)
}
