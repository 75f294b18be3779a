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
		{1 << 40, shares{1000, 500, 2000}},
		{7192, shares{1000, 500, 2000}}, // exactly enough
		{7191, shares{874, 500, 2000}},
		{1024, shares{104, 62, 252}},
		{200, shares{18, 11, 48}},
		{20, shares{1, 1, 7}},
	} {
		got := shareOut(tt.limit, cfg)
		if got != tt.want {
			t.Errorf("limit %d: %+v, want %+v", tt.limit, got, tt.want)
		}
		if used := uint64(2*got.sessions + perChannel*got.channels + got.slow - 4*got.channels); used > tt.limit {
			t.Errorf("limit %d: %d are shared out", tt.limit, used)
		}
	}
	cfg.Milter.MaxSessions = 5
	if got := shareOut(1024, cfg); got.sessions != 5 || got.channels != 82 {
		t.Errorf("few sessions: %+v", got)
	}
}
