package pool

import (
	"net/netip"
	"testing"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// One failure of TLS costs minutes in clear; only failures in a row cost hours, and only broken handshakes days.
func TestClearForGrows(t *testing.T) {
	refused, broken := &smtp.Error{Command: smtp.AtSTARTTLS, Code: 454}, &smtp.Error{Command: smtp.AtSTARTTLS}
	a := netip.MustParseAddrPort("192.0.2.1:25")
	for _, tt := range []struct {
		fault *smtp.Error
		want  []time.Duration
	}{
		{refused, []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute, 2 * time.Hour, 2 * time.Hour}},
		{broken, []time.Duration{10 * time.Minute, 20 * time.Minute, 40 * time.Minute, 80 * time.Minute, 160 * time.Minute}},
	} {
		var h hosts
		now := time.Now()
		for i, want := range tt.want {
			for n := range 3 { // connections at the same time count once
				if gaveUp := h.learnTLS(a, tt.fault, now); gaveUp != (n == 0) {
					t.Errorf("%v: failure %d, connection %d: told %v", tt.fault, i+1, n, gaveUp)
				}
			}
			if got := h.state[a].tlsBroken.Sub(now); got != want {
				t.Errorf("%v: failure %d: %v in clear, want %v", tt.fault, i+1, got, want)
			}
			now = now.Add(want + time.Minute)
			h.tend(now)
		}
		for range 20 {
			h.learnTLS(a, tt.fault, now)
			now = h.state[a].tlsBroken.Add(time.Second)
		}
		if got := clearFor(tt.fault, 20); got > tlsBrokenMax || tt.fault == broken && got != tlsBrokenMax {
			t.Errorf("%v: %v in clear", tt.fault, got)
		}
		h.learnTLS(a, nil, now)
		h.learnTLS(a, tt.fault, now)
		if got := h.state[a].tlsBroken.Sub(now); got != tlsBrokenFor {
			t.Errorf("%v: %v in clear after it had worked", tt.fault, got)
		}
	}
}

// A host without a finding takes no room.
func TestHostsKeepOnlyFindings(t *testing.T) {
	var h hosts
	h.learnTLS(netip.MustParseAddrPort("192.0.2.1:25"), nil, time.Now())
	if len(h.state) != 0 {
		t.Errorf("%d states", len(h.state))
	}
}
