package daemon

import (
	"testing"

	"github.com/millrace/millrace/cmd/config"
)

// TestShareOut: no part gets so many descriptors that another has none, and together they never get more than there are.
func TestShareOut(t *testing.T) {
	cfg := config.DefaultConfig()
	cfg.Milter.MaxSessions, cfg.Queue.Channels = 1000, 500
	for _, tt := range []struct {
		limit uint64
		want  shares
	}{
		{1 << 40, shares{sessions: 1000, channels: 500, slow: 2000}},
		{7192, shares{sessions: 1000, channels: 500, slow: 2000}}, // exactly enough
		{7191, shares{sessions: 874, channels: 500, slow: 2000}},
		{1024, shares{sessions: 104, channels: 62, slow: 252}},
		{200, shares{sessions: 18, channels: 11, slow: 48}},
		{20, shares{sessions: 1, channels: 1, slow: 7}},
	} {
		got := shareOut(tt.limit, cfg)
		if got != tt.want {
			t.Errorf("limit %d: %+v, want %+v", tt.limit, got, tt.want)
		}
		if used := uint64(2*got.sessions + perChannel*got.channels + got.slow - 4*got.channels); used > tt.limit {
			t.Errorf("limit %d: %d are shared out", tt.limit, used)
		}
	}
	cfg.SMTPD.Submission, cfg.SMTPD.MaxSessions = []string{"inet:127.0.0.1:8899"}, 1000
	if got := shareOut(1024, cfg); got != (shares{sessions: 52, smtpd: 52, channels: 62, slow: 252}) {
		t.Errorf("two doors: %+v", got)
	}
	cfg.SMTPD.Submission = nil
	cfg.Milter.MaxSessions = 5
	if got := shareOut(1024, cfg); got.sessions != 5 || got.channels != 82 {
		t.Errorf("few sessions: %+v", got)
	}
}
