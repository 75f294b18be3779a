package smtpd

import (
	"time"

	"github.com/millrace/millrace/filter"
)

var _ filter.Keeper = (*session)(nil)

// Patience implements filter.Keeper: the client waits in the middle of its message, and knows of no hold.
func (s *session) Patience() time.Duration { return s.door.cfg.AnswerTimeout }

// BeginHold implements filter.Keeper. SMTP has no sign of life.
func (s *session) BeginHold() {}

// EndHold implements filter.Keeper.
func (s *session) EndHold() {}

// Stopping implements filter.Keeper.
func (s *session) Stopping() <-chan struct{} { return s.door.stop }
