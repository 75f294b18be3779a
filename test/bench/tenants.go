package main

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// The senders of the two tenants.
const heavy, light = "news@heavy.test", "news@light.test"

// tenants is the second part: two tenants share one receiver.
func (b *fairBench) tenants() (list []figure, err error) {
	h, err := b.open("tenants", `
[[tenant]]
name = "heavy"
sender = "heavy.test"
weight = 3
[[tenant]]
name = "light"
sender = "light.test"
weight = 1
`, takes(50*time.Millisecond))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	const name = "two tenants 3 : 1 by weight: greatest deviation of a share"
	if h.lacks != "" {
		return []figure{unmeasured(5, name, "at most 0.1", h.lacks)}, nil
	}
	begin, each := time.Now(), int(b.shares.Seconds())*140
	if err := h.post(4*each, heavy, heavy, heavy, light); err != nil {
		return nil, err
	}
	s := span{begin: time.Now(), end: time.Now().Add(b.shares)}
	time.Sleep(b.shares)
	whole := span{begin, s.end}
	if len(h.arrived(whole, heavy)) == 3*each || len(h.arrived(whole, light)) == each {
		return []figure{unmeasured(5, name, "at most 0.1", "a tenant's mail was sent before the end")}, nil
	}
	a, c := h.rate(s, heavy), h.rate(s, light)
	sum := a + c
	return []figure{atMost(5, name, deviation(a, sum*3/4, c, sum/4), 0.1, fmt.Sprintf("%.1f/s and %.1f/s", a, c))}, nil
}

// deviation is the greater one of the relative deviations of a and c from what they should be.
func deviation(a, wantA, c, wantC float64) float64 {
	return max(math.Abs(a/wantA-1), math.Abs(c/wantC-1))
}

// The limits of the third part. The tenants could have 30/s and 10/s by weight; the light one may have 6/s, so the heavy one has
// what is left.
const (
	siteRate, siteConns   = 40, 4
	heavyRate, heavyConns = 100, 3
	lightRate, lightConns = 6, 1
)

// limits is the third part: limits of two tenants and of the receiver hold at the same time.
func (b *fairBench) limits() (list []figure, err error) {
	under := &underWay{now: make(map[string]int), most: make(map[string]int)}
	h, err := b.open("limits", fmt.Sprintf(`
[[tenant]]
name = "heavy"
sender = "heavy.test"
weight = 3
rate = %d
connections = %d
[[tenant]]
name = "light"
sender = "light.test"
weight = 1
rate = %d
connections = %d
[[site]]
domain = [%q]
rate = "%d/s"
connections = %d
`, heavyRate, heavyConns, lightRate, lightConns, crowded, siteRate, siteConns), sink.Character{DotDelay: 20 * time.Millisecond, Transaction: under.tell})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	if h.lacks != "" {
		return []figure{unmeasured(5, "tenant and site limits together", "none exceeded", h.lacks)}, nil
	}
	s := span{begin: time.Now()}
	err = h.post(int(b.shares.Seconds())*siteRate*4, heavy, light)
	fed := time.Now()
	time.Sleep(b.shares)
	s.end = time.Now()
	name := func(what string) string { return "tenant and site limits together: " + what }
	a, c := h.rate(span{fed, s.end}, heavy), h.rate(span{fed, s.end}, light)
	const late = "one more than the limit may come late from the second before"
	list = []figure{
		atMost(5, name("most messages in a second, site"), h.busiest(s, ""), siteRate+1, late),
		atMost(5, name("most messages in a second, light tenant"), h.busiest(s, light), lightRate+1, late),
		atMost(5, name("connections, site"), float64(h.net.far.Counts(crowded).MaxOpen), siteConns, ""),
		atMost(5, name("messages under way, heavy tenant"), under.peak(heavy), heavyConns, ""),
		atMost(5, name("messages under way, light tenant"), under.peak(light), lightConns, ""),
		atMost(5, name("greatest deviation of a share"), deviation(a, siteRate-lightRate, c, lightRate), 0.1,
			fmt.Sprintf("%.1f/s and %.1f/s", a, c)),
	}
	return list, err
}

// busiest is the most messages in one second.
func (h *hall) busiest(s span, prefix string) float64 {
	seconds, most := make(map[int64]int), 0
	for _, d := range h.arrived(s, prefix) {
		second := int64(d.Time.Sub(s.begin) / time.Second)
		seconds[second]++
		most = max(most, seconds[second])
	}
	return float64(most)
}

// underWay counts the transactions of each sender at a receiver.
type underWay struct {
	mu        sync.Mutex
	now, most map[string]int
}

func (u *underWay) tell(from string, begun bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !begun {
		u.now[from]--
		return
	}
	u.now[from]++
	u.most[from] = max(u.most[from], u.now[from])
}

func (u *underWay) peak(from string) float64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return float64(u.most[from])
}
