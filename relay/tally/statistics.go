package tally

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// mostSeries is how many sites, campaigns and tenants are sampled each. One takes about 110 kB of memory.
	mostSeries = 32
	// candidates is how many of those used last are looked at each second.
	candidates = 64
	// sampleEvery is the time between two samples.
	sampleEvery = time.Second
)

// Queues is what the agent asks each second. The parts that know are above this package.
type Queues struct {
	// Length returns how many queues are in the map.
	Length func() int64
	// Waiting returns how many nodes wait for a site. It looks at that site alone: there may be a million.
	Waiting func(site string) int64
}

// Statistics is the agent that samples, once a second, counters and queue lengths into rings: of the installation, of each tenant, and of
// the sites and campaigns that are the busiest. Run is its goroutine; its other methods may be called from any.
type Statistics struct {
	tally  *Tally
	queues Queues

	mu      sync.Mutex // Tally's is taken under it
	all     *series
	by      [kinds]map[key]*series
	last    int64            // when the last sample was taken or the agent started, Unix seconds
	sampled time.Time        // when this process took its last sample; zero: it took none
	nodes   map[string]int64 // that wait for the sites that are sampled
}

// NewStatistics returns an agent that has sampled nothing.
func NewStatistics(t *Tally, q Queues) *Statistics {
	s := &Statistics{tally: t, queues: q}
	s.clear()
	return s
}

func (s *Statistics) clear() {
	s.all = newSeries(kindInstallation, key{})
	for _, k := range [...]kind{kindSite, kindCampaign, kindTenant} {
		s.by[k] = make(map[key]*series)
	}
}

// Run samples once a second until ctx is done. It also forgets the campaigns whose time is over.
func (s *Statistics) Run(ctx context.Context) {
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	s.start(time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			s.Sample(time.Now())
			s.tally.Forget(time.Now())
		}
	}
}

// start leaves out what was counted before there were rings.
func (s *Statistics) start(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	if s.all.prev == (sums{}) {
		s.all.skip(s.tally.all)
	}
	s.last = now.Unix()
}

// Sample takes one sample.
func (s *Statistics) Sample(now time.Time) {
	queues := s.queues.Length()
	nodes := s.waiting()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.nodes = nodes
	s.tally.mu.Lock()
	defer s.tally.mu.Unlock()
	s.admit(now.Unix())
	seconds := max(now.Sub(s.sampled).Seconds(), 1) // centuries in the first sample of a process: it makes no peak
	s.sample(s.all, s.tally.all, &sample{queues: queues, seconds: seconds}, now.Unix())
	for of, list := range s.by {
		for k, x := range list {
			if e := s.tally.find(kind(of), k); e != nil {
				s.sample(x, e, &sample{seconds: seconds}, now.Unix())
			}
		}
	}
	s.last, s.sampled = now.Unix(), now
}

// waiting asks how many nodes wait for the sites that are sampled. It holds no lock meanwhile.
func (s *Statistics) waiting() map[string]int64 {
	nodes := make(map[string]int64)
	s.mu.Lock()
	for k := range s.by[kindSite] {
		nodes[k.name] = 0
	}
	s.mu.Unlock()
	for site := range nodes {
		nodes[site] = s.queues.Waiting(site)
	}
	return nodes
}

// sample adds to x what e has counted since the last sample. Both mutexes are held.
func (s *Statistics) sample(x *series, e *entry, y *sample, at int64) {
	y.left = e.left
	if x.kind == kindSite {
		y.left = s.nodes[x.key.name]
	}
	for c := range e.sum {
		n := e.sum[c] + e.open[c]
		y.delta[c], x.prev[c] = n-x.prev[c], n
	}
	x.add(y, at)
}

// admit finds room for what is busy and has no series. Both mutexes are held.
func (s *Statistics) admit(now int64) {
	for _, e := range s.tally.tenants {
		if len(s.by[kindTenant]) >= mostSeries {
			break
		}
		if s.by[kindTenant][e.key] == nil {
			s.begin(e)
		}
	}
	s.admitOf(&s.tally.siteLine, kindSite, now)
	s.admitOf(&s.tally.campaignLine, kindCampaign, now)
}

// admitOf gives series to those in a line that were used since the last sample. Where all are in use, the busiest of them gets the place of
// the one that is the least busy, if it is twice as busy: one a second.
func (s *Statistics) admitOf(l *line, of kind, now int64) {
	list := s.by[of]
	var best *entry
	rate := 0.0
	since := min(s.last, now-2)
	e := l.newest()
	for n := 0; n < candidates && e != nil; n++ {
		if e.used >= since && list[e.key] == nil { // makeRoom has put some in front that were not used
			if len(list) < mostSeries {
				s.begin(e)
			} else if r := e.pace.rate(now); r > rate {
				best, rate = e, r
			}
		}
		e = l.older(e)
	}
	if best == nil {
		return
	}
	if least, lowest := s.least(of, now); rate > 2*lowest {
		delete(list, least)
		s.begin(best)
	}
}

// begin gives e a series. What a new key has counted is in its first sample.
func (s *Statistics) begin(e *entry) {
	x := newSeries(e.kind, e.key)
	if e.first < s.last {
		x.skip(e)
	}
	s.by[e.kind][e.key] = x
}

// skip leaves what e has counted up to now out.
func (x *series) skip(e *entry) {
	for c := range e.sum {
		x.prev[c] = e.sum[c] + e.open[c]
	}
}

// least is the series of a kind whose key is the least busy.
func (s *Statistics) least(of kind, now int64) (least key, rate float64) {
	rate = -1
	for k := range s.by[of] {
		r := 0.0
		if e := s.tally.find(of, k); e != nil {
			r = e.pace.rate(now)
		}
		if rate < 0 || r < rate {
			least, rate = k, r
		}
	}
	return least, rate
}

// Of says whose statistics are wanted; the zero Of is the installation.
type Of struct {
	Site     string
	Tenant   string // alone, or the tenant of Campaign
	Campaign string // as Filter.Name
}

// Point is what was sampled in one span of time, in recipients but for Messages, Left of a site and Queues.
type Point struct {
	Time       int64 // its beginning, Unix seconds
	Messages   int64 // taken
	Recipients int64 // of them
	Sent       int64
	Deferred   int64 // visits of a recipient
	Bounced    int64
	Expired    int64
	HandedBack int64
	Deleted    int64
	Peak       int64 // most sent in one second
	Left       int64 // at its end; of a site: nodes that wait for it
	MostLeft   int64
	Queues     int64 // at its end; of the installation alone
}

// Points returns the points of the last n spans that were sampled, the oldest first. ok is false when no sample is kept for such a key:
// it is not known, or not one of the busiest.
func (s *Statistics) Points(of Of, span Span, n int, now time.Time) (points []Point, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := uint32(now.Unix() / span.Seconds())
	var all []point
	for _, x := range s.of(of) {
		ok = true
		all = x.rings[span].last(all, stamp, n)
	}
	for _, p := range merge(all) {
		points = append(points, p.open(span))
	}
	return points, ok
}

// of is the series that are wanted. The mutex is held.
func (s *Statistics) of(of Of) (list []*series) {
	switch {
	case of.Site != "":
		if x := s.by[kindSite][key{name: short(of.Site)}]; x != nil {
			list = append(list, x)
		}
	case of.Campaign != "":
		for k, x := range s.by[kindCampaign] {
			if cmp.Or(k.name, k.sender) == of.Campaign && (of.Tenant == "" || of.Tenant == k.tenant) {
				list = append(list, x)
			}
		}
	case of.Tenant != "":
		if x := s.by[kindTenant][key{tenant: of.Tenant}]; x != nil {
			list = append(list, x)
		}
	default:
		list = append(list, s.all)
	}
	return list
}

// Names lists the sites, campaigns or tenants that are sampled, as Of calls them.
func (s *Statistics) Names() (sites, campaigns, tenants []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k := range s.by[kindSite] {
		sites = append(sites, k.name)
	}
	for k := range s.by[kindCampaign] {
		campaigns = append(campaigns, cmp.Or(k.name, k.sender))
	}
	for k := range s.by[kindTenant] {
		tenants = append(tenants, k.tenant)
	}
	for _, list := range [][]string{sites, campaigns, tenants} {
		slices.SortFunc(list, strings.Compare)
	}
	return sites, slices.Compact(campaigns), tenants
}

// open is p with names.
func (p *point) open(span Span) Point {
	v := func(of value) int64 { return int64(p.v[of]) }
	return Point{
		Time: int64(p.stamp) * span.Seconds(), Messages: v(valueMessages), Recipients: v(valueRecipients), Sent: v(valueSent),
		Deferred: v(valueDeferred), Bounced: v(valueBounced), Expired: v(valueExpired), HandedBack: v(valueHandedBack),
		Deleted: v(valueDeleted), Peak: v(valuePeak), Left: v(valueLeft), MostLeft: v(valueMostLeft), Queues: v(valueQueues),
	}
}
