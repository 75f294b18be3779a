package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// The mail of this part is for many sites, so that none of them is bounded by its own share, and all mail together has no room. Each
// site takes its first messages after the same delay, which sets so much room free that everybody who is held fits into it.
const (
	heldSites = 200
	heldLimit = 2000
	heldDot   = 6 * time.Second
	openedBy  = 0.05 // seconds: the goal
)

// heldSite is the domain of one of the sites.
func heldSite(i int) string { return fmt.Sprintf("s%d.test", i%heldSites) }

// replies is the third part: how long after the opening of the gate the last held reply leaves.
func (b *gateBench) replies() (list []figure, err error) {
	for _, most := range []int{20, 100} {
		if b.quick && most > 20 {
			continue
		}
		f, err := b.heldReplies(most)
		if err != nil {
			return nil, err
		}
		list = append(list, f)
	}
	return list, nil
}

func (b *gateBench) heldReplies(most int) (f figure, err error) {
	name := fmt.Sprintf("%d replies are held and the gate opens: seconds until the last one leaves", most)
	goal := fmt.Sprintf("at most %.3g", openedBy)
	receivers := make(map[string]sink.Character)
	for i := range heldSites {
		receivers[heldSite(i)] = takes(heldDot)
	}
	h, err := b.open(fmt.Sprint("replies", most), fmt.Sprintf("queue.max_messages = %d\n", heldLimit),
		fmt.Sprintf("[gate]\nhold = \"20s\"\nmax_held = %d\n", most), receivers)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, h.shut()) }()
	if h.lacks != "" {
		return unmeasured(4, name, goal, h.lacks), nil
	}
	replies, err := h.fill(most)
	if err != nil {
		return f, err
	}
	opened, err := h.openings()
	if err != nil {
		return f, err
	}
	return judgeReplies(name, most, replies, opened), nil
}

// fill offers mail over so many connections until each of them has had a reply that was held and has left. It returns the times in
// which these replies were waited for.
func (h *hall) fill(conns int) (replies []span, err error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for c := range conns {
		wg.Go(func() { // ends when a reply was held, or the daemon has taken much more than it has room for
			one, e := h.untilHeld(c)
			mu.Lock()
			defer mu.Unlock()
			if err = errors.Join(err, e); e == nil {
				replies = append(replies, one)
			}
		})
	}
	wg.Wait()
	return replies, err
}

// held is how long a reply takes at least that was held.
const held = 500 * time.Millisecond

func (h *hall) untilHeld(c int) (span, error) {
	conn, err := standin.Dial("unix", h.MilterSocket(), standin.Options{})
	if err != nil {
		return span{}, err
	}
	defer conn.Close()
	for i := range 2 * heldLimit {
		s := span{begin: time.Now()}
		_, err := conn.Send(letter(fmt.Sprintf("held%03d-%05d", c, i), "news@sender.test", fmt.Sprintf("u%d-%d@%s", c, i, heldSite(c*7+i))))
		if err != nil {
			return span{}, err
		}
		if s.end = conn.Headed(); s.took() > held { // the reply to the header is the one that waits; behind it comes the journal's work
			return s, nil
		}
	}
	return span{}, fmt.Errorf("connection %d: no reply was held", c)
}

// openings is when the gate of all mail opened, by the words of the daemon's log.
func (h *hall) openings() (list []time.Time, err error) {
	file, err := os.Open(h.LogFile())
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		text := lines.Text()
		if !strings.Contains(text, "the gate is open") || !strings.Contains(text, `of="all mail"`) {
			continue
		}
		stamp, _, _ := strings.Cut(text, " ")
		at, err := time.Parse("2006-01-02T15:04:05.000Z0700", stamp)
		if err != nil {
			return nil, err
		}
		list = append(list, at)
	}
	return list, nil
}

// judgeReplies finds for each reply the opening before it.
func judgeReplies(name string, most int, replies []span, opened []time.Time) figure {
	worst, unmatched := time.Duration(0), 0
	for _, r := range replies {
		last := time.Duration(-1)
		for _, at := range opened {
			if d := r.end.Sub(at); d >= -time.Millisecond && at.After(r.begin) {
				last = d // the opening that was next before the reply
			}
		}
		if last < 0 {
			unmatched++
		}
		worst = max(worst, last)
	}
	f := atMost(4, name, worst.Seconds(), openedBy, fmt.Sprintf("%d replies, %d openings, %d replies left without one", len(replies), len(opened), unmatched))
	f.Met = f.Met && unmatched == 0 && len(replies) == most
	return f
}
