package tally

import (
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
)

// quiet are queues without mail.
var quiet = Queues{Length: func() int64 { return 3 }, Waiting: func(string) int64 { return 0 }}

// total adds points.
func total(points []Point) (sum Point) {
	for _, p := range points {
		sum.Messages += p.Messages
		sum.Recipients += p.Recipients
		sum.Sent += p.Sent
		sum.Deferred += p.Deferred
		sum.Bounced += p.Bounced
		sum.Expired += p.Expired
		sum.HandedBack += p.HandedBack
		sum.Deleted += p.Deleted
		sum.Peak = max(sum.Peak, p.Peak)
	}
	return sum
}

// points are those of one key, which must be sampled.
func (s *Statistics) points(t *testing.T, of Of, span Span, now time.Time) []Point {
	t.Helper()
	points, ok := s.Points(of, span, span.Most(), now)
	if !ok {
		t.Fatalf("%+v is not sampled", of)
	}
	return points
}

// TestPointsAddUp: what the points of minutes and of hours have is what the counters have, over a restart.
func TestPointsAddUp(t *testing.T) {
	w := newWorld(5, 1000, maxSites)
	s := NewStatistics(w.Tally, quiet)
	for i := range 3000 {
		w.step()
		if w.now = w.now.Add(time.Second); i%3 == 0 {
			s.Sample(w.now)
		}
		if i%50 == 0 {
			w.Append(nil, false)
		}
		if i == 2000 {
			kept := s.Keep()
			w.step() // is in the first sample after the restart
			s = NewStatistics(w.Tally, quiet)
			if err := s.Recall(kept); err != nil {
				t.Fatal(err)
			}
			s.start(w.now)
		}
	}
	s.Sample(w.now)
	for _, span := range []Span{Minutes, Hours} {
		for _, of := range []Of{{}, {Tenant: "t1"}, {Tenant: "t1", Campaign: "n3"}, {Site: "mx4"}} {
			got := total(s.points(t, of, span, w.now))
			want := w.Installation()
			switch {
			case of.Site != "":
				want = w.site(of.Site).counts()
			case of.Campaign != "":
				want = w.campaign(relay.FlowName{Tenant: of.Tenant, Name: of.Campaign, Sender: "example.org"}).counts()
			case of.Tenant != "":
				want = w.Counts(of.Tenant)
			}
			got.Peak = 0
			if got != (Point{Messages: want.Messages, Recipients: want.Recipients, Sent: want.Sent, Deferred: want.Deferred, Bounced: want.Bounced,
				Expired: want.Expired, HandedBack: want.HandedBack, Deleted: want.Deleted}) {
				t.Errorf("%d %+v:\n got %+v\nwant %+v", span, of, got, want)
			}
		}
	}
}

// TestRingsForget: minutes of yesterday are gone, its hours are there; time without a sample has no point.
func TestRingsForget(t *testing.T) {
	y := New(DefaultConfig())
	s := NewStatistics(y, quiet)
	m := letter(relay.FlowName{Name: "a"}, 1, relay.ClassRemote)
	at := start.Truncate(time.Hour)
	for range 48 * 60 { // a minute each
		y.Taken(m, 1)
		s.Sample(at)
		at = at.Add(time.Minute)
	}
	at = at.Add(-time.Minute)
	minutes, hours := s.points(t, Of{}, Minutes, at), s.points(t, Of{}, Hours, at)
	if len(minutes) != 1440 || minutes[0].Time != at.Unix()-1439*60 || minutes[0].Messages != 1 || minutes[0].Queues != 3 {
		t.Errorf("%d minutes, first %+v", len(minutes), minutes[0])
	}
	if len(hours) != 48 || hours[0].Messages != 60 || hours[47].Left != 48*60 || hours[0].MostLeft != 60 {
		t.Errorf("%d hours, first %+v, last %+v", len(hours), hours[0], hours[47])
	}
	at = at.Add(100 * time.Minute) // nothing is sampled meanwhile
	s.Sample(at)
	if points, _ := s.Points(Of{}, Minutes, 102, at); len(points) != 3 {
		t.Errorf("%d points: %+v", len(points), points)
	}
}

// TestClockSetBack: samples after it stand where they are said to be, and none is lost.
func TestClockSetBack(t *testing.T) {
	y := New(DefaultConfig())
	s := NewStatistics(y, quiet)
	m := letter(relay.FlowName{Name: "a"}, 1, relay.ClassRemote)
	for _, at := range []time.Time{start, start.Add(-2 * time.Hour), start} {
		y.Taken(m, 1)
		s.Sample(at)
	}
	if got := s.points(t, Of{}, Minutes, start); total(got).Messages != 3 || len(got) != 2 || got[1].Messages != 2 {
		t.Errorf("%+v", got)
	}
}

// TestClockAheadForAMoment: over a restart, a point of ten years from now takes no other's place.
func TestClockAheadForAMoment(t *testing.T) {
	y := New(DefaultConfig())
	s, again := NewStatistics(y, quiet), NewStatistics(y, quiet)
	m := letter(relay.FlowName{Name: "a"}, 1, relay.ClassRemote)
	now := start
	for i := range 10 {
		y.Taken(m, 1)
		if now = now.Add(time.Minute); i == 4 {
			s.Sample(now.AddDate(10, 0, 0))
			continue
		}
		s.Sample(now)
	}
	if err := again.Recall(s.Keep()); err != nil {
		t.Fatal(err)
	}
	for _, span := range []Span{Minutes, Hours} {
		if got, want := total(again.points(t, Of{}, span, now)), total(s.points(t, Of{}, span, now)); got != want || got.Messages != 9 {
			t.Errorf("%d: got %+v, want %+v", span, got, want)
		}
	}
}

// TestTheBusiestAreSampled: one that is busier takes the place of one that is not.
func TestTheBusiestAreSampled(t *testing.T) {
	y := New(DefaultConfig())
	s := NewStatistics(y, Queues{Length: quiet.Length, Waiting: func(site string) int64 { return int64(7 * (len(site) - 3)) }})
	m := letter(relay.FlowName{Name: "a"}, 1, relay.ClassRemote)
	now := start
	for i := range mostSeries + 5 {
		y.Count(settled(m, relay.Sent, fmt.Sprint("mx", i), now))
	}
	s.Sample(now)
	if sites, _, _ := s.Names(); len(sites) != mostSeries {
		t.Fatalf("%d sites", len(sites))
	}
	for range 10 {
		now = now.Add(time.Second)
		for range 100 {
			y.Count(settled(m, relay.Sent, "busy", now))
		}
		s.Sample(now)
	}
	got := s.points(t, Of{Site: "busy"}, Minutes, now)
	if total(got).Sent != 1000 || got[0].Left != 7 || got[0].Peak != 100 {
		t.Errorf("%+v", got)
	}
	if sites, campaigns, tenants := s.Names(); len(sites) != mostSeries || len(campaigns) != 1 || len(tenants) != 1 {
		t.Errorf("%q %q %q", sites, campaigns, tenants)
	}
	if _, ok := s.Points(Of{Site: "elsewhere"}, Minutes, 10, now); ok {
		t.Error("a site that nobody knows has points")
	}
}

// TestPeakIsOfOneSecond: neither a sample that came late nor what was counted between the last sample of a process that was killed and the
// first of the next makes a peak that never was.
func TestPeakIsOfOneSecond(t *testing.T) {
	y := New(DefaultConfig())
	s := NewStatistics(y, quiet)
	m := letter(relay.FlowName{Name: "a"}, 1, relay.ClassRemote)
	now := start
	count := func(n int, d time.Duration) {
		now = now.Add(d)
		for range n {
			y.Count(settled(m, relay.Sent, "", now))
		}
	}
	s.start(now)
	s.Sample(now)
	count(100, 1010*time.Millisecond)
	s.Sample(now)
	count(600, 10*time.Second)
	s.Sample(now)
	kept := s.Keep()
	count(5000, 30*time.Second)
	s = NewStatistics(y, quiet)
	if err := s.Recall(kept); err != nil {
		t.Fatal(err)
	}
	s.start(now)
	s.Sample(now.Add(time.Second))
	if got := total(s.points(t, Of{}, Minutes, now.Add(time.Second))); got.Sent != 5700 || got.Peak != 99 {
		t.Errorf("%d sent, peak %d, want 5700 and 99", got.Sent, got.Peak)
	}
}

// TestBusyBehindThoseThatWait: campaigns that makeRoom has passed over, because they have mail left, do not hide a busy one.
func TestBusyBehindThoseThatWait(t *testing.T) {
	y := New(Config{Campaigns: lookedAt + 1, Keep: time.Hour})
	s := NewStatistics(y, quiet)
	accept := func(name string, at time.Time) {
		m := letter(relay.FlowName{Name: name}, 1, relay.ClassRemote)
		m.Slip.Taken = at
		y.Taken(m, 1)
	}
	for i := range lookedAt + 1 {
		accept(fmt.Sprint("n", i), start)
	}
	now := start.Add(time.Hour)
	s.start(now)
	accept("n0", now)
	accept("no room", now)
	s.Sample(now.Add(time.Second))
	if got := total(s.points(t, Of{Campaign: "n0"}, Minutes, now.Add(time.Second))); got != (Point{}) {
		t.Errorf("what was counted before the start: %+v", got)
	}
	accept("n0", now.Add(time.Second))
	s.Sample(now.Add(2 * time.Second))
	if got := total(s.points(t, Of{Campaign: "n0"}, Minutes, now.Add(2*time.Second))); got.Messages != 1 {
		t.Errorf("%+v", got)
	}
}

// TestPace is held against a steady stream.
func TestPace(t *testing.T) {
	var p pace
	for second := range int64(300) {
		for range 20 {
			p.add(start.Unix() + second)
		}
		if got := p.rate(start.Unix() + second); got < 18 || got > 22 {
			t.Fatalf("after %d seconds: %v a second, want 20", second+1, got)
		}
	}
	if got := p.rate(start.Unix() + 299 + 600); got > 0.1 {
		t.Errorf("ten minutes later: %v", got)
	}
	p.add(start.Unix()) // the clock is set back
	if got := p.rate(start.Unix()); got > 2 {
		t.Errorf("after the clock was set back: %v", got)
	}
}

// FuzzRecall: malformed rings are an error that changes nothing.
func FuzzRecall(f *testing.F) {
	w := newWorld(3, 7, 4)
	s := NewStatistics(w.Tally, quiet)
	for range 300 {
		w.step()
		s.Sample(w.now)
	}
	f.Add(s.Keep()[:2000])
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, p []byte) {
		x := NewStatistics(New(DefaultConfig()), quiet)
		before := string(x.Keep())
		if err := x.Recall(p); err != nil {
			if string(x.Keep()) != before {
				t.Fatal("changed")
			}
			return
		}
		y := NewStatistics(New(DefaultConfig()), quiet)
		if err := y.Recall(x.Keep()); err != nil {
			t.Fatal(err)
		}
	})
}

// busyWorld has so many campaigns, each of its own tenant, and so many sites, all of them used lately.
func busyWorld(campaigns int) *Tally {
	y := New(DefaultConfig())
	for i := range campaigns {
		m := letter(relay.FlowName{Tenant: fmt.Sprint("shop-", i), Name: fmt.Sprint("campaign-2026-", i), Sender: "news.example.org"}, 1000, relay.ClassRemote)
		y.Taken(m, 1)
		y.Count(settled(m, relay.Sent, fmt.Sprint("mx.example.com#", i%maxSites), start))
	}
	y.Append(nil, false)
	return y
}

// BenchmarkSample samples where all series are in use.
func BenchmarkSample(b *testing.B) {
	s := NewStatistics(busyWorld(10_000), quiet)
	for b.Loop() {
		s.Sample(start)
	}
}

// BenchmarkKeep writes full rings.
func BenchmarkKeep(b *testing.B) {
	y := busyWorld(10_000)
	s := NewStatistics(y, quiet)
	at := start
	for range 32 * 24 * 60 {
		at = at.Add(time.Minute)
		for i := range 40 {
			m := letter(relay.FlowName{Tenant: "shop", Name: fmt.Sprint("campaign-2026-", i), Sender: "news.example.org"}, 300+i, relay.ClassRemote)
			y.Taken(m, 1)
			y.Count(settled(m, relay.Sent, fmt.Sprint("mx.example.com#", i), at))
		}
		s.Sample(at)
	}
	b.ResetTimer()
	for b.Loop() {
		b.ReportMetric(float64(len(s.Keep())), "B")
	}
}

// BenchmarkCampaigns lists 1,000 of 10,000 campaigns.
func BenchmarkCampaigns(b *testing.B) {
	y := busyWorld(10_000)
	for b.Loop() {
		if n := len(y.Campaigns(Filter{}, 1000, start)); n != 1000 {
			b.Fatal(n)
		}
	}
}
