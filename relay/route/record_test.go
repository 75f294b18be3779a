package route

import (
	"testing"
	"time"
)

// stage is a keeper that learns one finding after the other.
type stage struct {
	keeper
	rec record
}

func newStage() *stage {
	cfg := Config{}.withDefaults()
	return &stage{keeper: keeper{cfg: &cfg, now: time.Unix(1e9, 0), healthy: true}}
}

// learn applies a finding and returns the answer.
func (s *stage) learn(v verdict, ttl time.Duration) *Route {
	f := finding{verdict: v, ttl: ttl, route: &Route{Domain: "x.test"}}
	switch v {
	case good:
		f.route.Hosts = []Host{host(1, 0, 1, 0)}
	case missing:
		f.route.Err = permanent(550, "5.1.2", "no such domain")
	case refused:
		f.route.Err = permanent(556, "5.1.10", "null MX")
	default:
		f.route.Err = temporary("4.4.3", "broken")
	}
	s.rec = s.update(s.rec, f)
	return s.rec.route
}

// life is how long the answer holds.
func (s *stage) life() time.Duration { return s.rec.route.Expires.Sub(s.now) }

func TestRecordLife(t *testing.T) {
	tests := []struct {
		v         verdict
		ttl, want time.Duration
	}{
		{good, 0, 30 * time.Second},
		{good, 5 * time.Minute, 5 * time.Minute},
		{good, maxTTL, time.Hour},
		{refused, time.Minute, time.Minute},
		{refused, 48 * time.Hour, time.Hour},
		{outage, time.Hour, 30 * time.Second},
		{unclear, time.Hour, 30 * time.Second},
		{missing, time.Hour, 30 * time.Second}, // to be confirmed
	}
	for _, tt := range tests {
		s := newStage()
		s.learn(tt.v, tt.ttl)
		if s.life() != tt.want {
			t.Errorf("verdict %d, TTL %v: kept for %v, want %v", tt.v, tt.ttl, s.life(), tt.want)
		}
	}
}

func TestRecordDenialNeedsTwo(t *testing.T) {
	s := newStage()
	if rt := s.learn(missing, time.Hour); rt.Err.Permanent || rt.Err.Enhanced != "4.4.3" {
		t.Errorf("after one denial: %v", rt.Err)
	}
	s.learn(outage, 0) // says nothing either way
	if rt := s.learn(missing, 10*time.Minute); !rt.Err.Permanent || s.life() != 10*time.Minute {
		t.Errorf("after two: %v for %v", rt.Err, s.life())
	}
	if s.rec.lane() != slow {
		t.Errorf("a dead name is in lane %d", s.rec.lane())
	}
	s.learn(good, time.Hour)
	if s.rec.lane() != familiar {
		t.Errorf("a living name is in lane %d", s.rec.lane())
	}
	if rt := s.learn(refused, time.Hour); !rt.Err.Permanent {
		t.Errorf("null MX: %v", rt.Err)
	}
	if rt := s.learn(missing, time.Hour); rt.Err.Permanent {
		t.Error("one denial after a Route is enough")
	}
}

func TestRecordUnhealthyBouncesNothing(t *testing.T) {
	s := newStage()
	s.healthy = false
	for range 5 {
		if rt := s.learn(missing, time.Hour); rt.Err.Permanent {
			t.Fatalf("NXDOMAIN: %v", rt.Err)
		}
		if rt := s.learn(refused, time.Hour); rt.Err.Permanent || rt.Err.Code != 451 {
			t.Fatalf("null MX: %v", rt.Err)
		}
	}
	s.healthy = true
	if rt := s.learn(missing, time.Hour); rt.Err.Permanent {
		t.Error("denials of the outage count afterwards")
	}
}

func TestRecordBackoff(t *testing.T) {
	s := newStage()
	want := []time.Duration{30, 60, 120, 240, 300, 300}
	for i, w := range want {
		s.learn(outage, 0)
		if s.life() != w*time.Second {
			t.Errorf("failure %d: kept for %v", i+1, s.life())
		}
	}
	for range 1000 {
		s.learn(outage, 0)
	}
	if s.life() != maxBackoff {
		t.Errorf("at last: kept for %v", s.life())
	}
}

func TestRecordStale(t *testing.T) {
	for _, v := range []verdict{outage, unclear, missing} {
		s := newStage()
		fresh := s.learn(good, time.Minute)
		s.now = s.now.Add(time.Minute)
		rt := s.learn(v, 0)
		if rt.Err != nil || !rt.Stale || fresh.Stale || rt == fresh || s.life() != 30*time.Second {
			t.Errorf("verdict %d: got %+v for %v", v, rt, s.life())
		}
		s.now = s.now.Add(24*time.Hour - time.Second)
		if rt := s.learn(outage, 0); rt.Err != nil {
			t.Errorf("verdict %d, a second before a day: %v", v, rt.Err)
		}
		s.now = s.now.Add(time.Second)
		if rt := s.learn(outage, 0); rt.Err == nil || rt.Err.Permanent {
			t.Errorf("verdict %d, after a day: %+v", v, rt)
		}
	}
}

func TestRecordAt(t *testing.T) {
	s := newStage()
	s.learn(good, 100*time.Second)
	born := s.now
	failing := newStage()
	failing.learn(good, 100*time.Second)
	failing.now = failing.now.Add(time.Minute)
	failing.learn(outage, 0) // expires at 90 s
	bad := newStage()
	bad.learn(outage, 0)
	tests := []struct {
		name     string
		s        *stage
		after    time.Duration
		answered bool
		want     bool
	}{
		{"fresh", s, 79 * time.Second, true, false},
		{"in its last fifth", s, 80 * time.Second, true, true},
		{"just expired", s, 100 * time.Second, true, true},
		{"at the end of the grace", s, 129 * time.Second, true, true},
		{"expired", s, 130 * time.Second, false, true},
		{"stale", failing, 89 * time.Second, true, false},
		{"stale, to be tried again", failing, 90 * time.Second, true, true},
		{"stale for hours", failing, 23 * time.Hour, true, true},
		{"stale for too long", failing, 25 * time.Hour, false, true},
		{"error", bad, 29 * time.Second, true, false},
		{"expired error", bad, 30 * time.Second, false, true},
	}
	for _, tt := range tests {
		rt, want := tt.s.rec.at(born.Add(tt.after))
		if (rt != nil) != tt.answered || want != tt.want {
			t.Errorf("%s: %+v, %v", tt.name, rt, want)
		}
	}
}
