package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/millrace/millrace/test/letters"
)

const (
	personalLinks = 15
	kept          = 1000 // domains that the mail waits for
	signature     = 290  // bytes that nobody can foresee in a DKIM-Signature: 2,048 bits, and 256 of the body's hash
)

// cost is what a message of one shape costs while it waits, in bytes.
type cost struct {
	shape    string
	resident float64
	journal  float64
	signed   bool
	note     string
}

// memory is row 8.
func (b *rowBench) memory() ([]figure, error) {
	messages := b.count(100_000, 500)
	costs, err := b.costs(messages)
	var list []figure
	var all []float64
	for _, c := range costs {
		all = append(all, c.resident/1024)
		name := fmt.Sprintf("%s, %d messages wait: KiB of resident memory a message", c.shape, messages)
		list = append(list, beside(8, name, c.resident/1024, c.note))
	}
	if err != nil || len(all) == 0 {
		return list, err
	}
	worst := atMost(8, "the worst shape: KiB of resident memory a message", slices.Max(all), 1.2, "")
	middle := func(v float64) figure {
		return atMost(8, "the median shape: KiB of resident memory a message", v, 1, "")
	}
	list = append(list, over(all, middle), worst)
	const all10 = "10,000,000 messages wait: GB of resident memory, the worst shape"
	if messages < 10_000_000 {
		return append(list, unmeasured(8, all10, "at most 12", "needs -messages 10000000")), nil
	}
	return append(list, atMost(8, all10, slices.Max(all)*1024*float64(messages)/1e9, 12, "")), nil
}

// journal is row 9.
func (b *rowBench) journal() ([]figure, error) {
	costs, err := b.costs(b.count(20_000, 500))
	var list []figure
	worst := math.Inf(-1)
	for _, c := range costs {
		bytes, note := c.journal, ""
		if c.signed {
			bytes, note = bytes-signature, fmt.Sprintf("and %d of the signature", signature)
		}
		worst = max(worst, bytes)
		list = append(list, beside(9, c.shape+": bytes of journal a message", bytes, note))
	}
	if err != nil || len(list) == 0 {
		return list, err
	}
	return append(list, atMost(9, "the worst shape: bytes of journal a message, without its signature", worst, 500, "")), nil
}

// costs fills a daemon with each shape in turn.
func (b *rowBench) costs(messages int) (list []cost, err error) {
	for _, s := range letters.Shapes(personalLinks) {
		if !strings.Contains(s.Name, b.only) {
			continue
		}
		c, err := b.cost(s, messages)
		if err != nil {
			return list, fmt.Errorf("%s: %w", s.Name, err)
		}
		fmt.Fprintf(os.Stderr, "%s: %.0f bytes of memory and %.0f of journal a message; %s\n", c.shape, c.resident, c.journal, c.note)
		list = append(list, c)
	}
	return list, nil
}

func (b *rowBench) cost(shape letters.Shape, messages int) (c cost, err error) {
	s, err := b.newStore(shape.Name)
	if err != nil {
		return c, err
	}
	defer func() { err = errors.Join(err, s.end(), os.RemoveAll(s.Dir)) }()
	empty, err := s.resident()
	if err != nil {
		return c, err
	}
	if err := s.feed(messages, letterTo([]letters.Shape{shape}, kept, waitingZone)); err != nil {
		return c, err
	}
	full, err := s.resident()
	if err != nil {
		return c, err
	}
	st, err := s.Status()
	if err != nil {
		return c, err
	}
	if st.Messages != int64(messages) {
		return c, fmt.Errorf("%d of %d messages wait", st.Messages, messages)
	}
	n := float64(messages)
	c = cost{shape: shape.Name, resident: float64(full-empty) / n, journal: float64(st.Journal.Bytes) / n}
	c.signed = bytes.Contains(shape.Message(0), []byte("\r\nDKIM-Signature:"))
	c.note = fmt.Sprintf("%.0f bytes of it in the daemon's own ledger", float64(st.Memory.Mail)/n)
	return c, nil
}
