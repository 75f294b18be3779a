package console

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

func TestUpgrade(t *testing.T) {
	for _, test := range []struct {
		name    string
		refuses error
		failure string // of the hand-over
		is      error
		want    string
	}{
		{"done", nil, "", nil, ""},
		{"not fit", errors.New("finds a mistake: line 3"), "", nil, "finds a mistake: line 3"},
		{"starting", fmt.Errorf("%w: starting", ErrNotNow), "", ErrNotNow, "starting"},
		{"goes on", nil, "text file busy", ErrNotNow, "goes on as it was: text file busy"},
	} {
		t.Run(test.name, func(t *testing.T) {
			src := &fakeSource{upgradeErr: test.refuses, failure: test.failure}
			path := serveActs(t, src, &fakeActs{})
			if test.refuses == nil {
				time.AfterFunc(100*time.Millisecond, func() { src.handovers.Add(1) })
			}
			s, err := dial(t, path).Upgrade(t.Context())
			switch {
			case test.want == "" && (err != nil || s.Handovers != 1):
				t.Errorf("%+v, %v", s.Handovers, err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want) || test.is != nil && !errors.Is(err, test.is)):
				t.Errorf("%v, want %q", err, test.want)
			}
			if !strings.Contains(src.upgradedBy, fmt.Sprintf("uid %d, pid %d", os.Getuid(), os.Getpid())) {
				t.Errorf("who %q", src.upgradedBy)
			}
		})
	}
}

// TestUpgradeThatNeverEnds: the command does not wait for ever.
func TestUpgradeThatNeverEnds(t *testing.T) {
	path := serveActs(t, &fakeSource{}, &fakeActs{})
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	if _, err := dial(t, path).Upgrade(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
}
