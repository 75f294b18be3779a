package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/millrace/millrace/test/letters"
)

// recovered is row 12: a daemon that is full of personalised mail is killed and starts again.
func (b *rowBench) recovered() (list []figure, err error) {
	messages := b.count(100_000, 600)
	var seconds, ratios []float64
	note := ""
	for i := range b.turns(3) {
		took, ratio, err := b.again(fmt.Sprint("again", i), messages)
		if err != nil {
			return nil, err
		}
		fmt.Fprintf(os.Stderr, "round %d: %d messages in %.2f s, %.2f of the memory before\n", i+1, messages, took, ratio)
		seconds, ratios = append(seconds, took), append(ratios, ratio)
	}
	if messages != 1_000_000 {
		note = "the goal is 10 s for 1,000,000 messages"
	}
	name := fmt.Sprintf("%d personalised messages wait and the daemon is killed: ", messages)
	return []figure{
		over(seconds, func(v float64) figure {
			return atMost(12, name+"seconds of recovery", v, 10*float64(messages)/1e6, note)
		}),
		over(ratios, func(v float64) figure { return atMost(12, name+"memory after it, to that before", v, 1.2, "resident") }),
	}, nil
}

func (b *rowBench) again(name string, messages int) (seconds, ratio float64, err error) {
	s, err := b.newStore(name)
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, s.end(), os.RemoveAll(s.Dir)) }()
	if err := s.feed(messages, letterTo(letters.Shapes(personalLinks), kept, waitingZone)); err != nil {
		return 0, 0, err
	}
	before, err := s.resident()
	if err != nil {
		return 0, 0, err
	}
	if err := errors.Join(s.Kill(), s.Start()); err != nil {
		return 0, 0, err
	}
	j, err := s.Recovered()
	if err != nil {
		return 0, 0, err
	}
	if j.Recovery.Messages != messages {
		return 0, 0, fmt.Errorf("of %d messages there are again: %+v", messages, j.Recovery)
	}
	after, err := s.resident()
	return j.Recovery.Took.Seconds(), float64(after) / float64(before), err
}
