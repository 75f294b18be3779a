package load

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/millrace/millrace/test/sink"
)

// Finding is one difference between the messages sent and the deliveries.
type Finding struct {
	ID, Rcpt string
	What     string
}

// Comparison holds all differences between the messages sent and the deliveries.
type Comparison struct {
	Arrived      int       // deliveries compared
	Lost         []Finding // acknowledged, not arrived
	Duplicated   []Finding // arrived more often than the acknowledged and the unsure attempts allow
	Altered      []Finding // arrived with another sender, or with other bytes below the trace fields
	Phantom      []Finding // arrived although it was never sent, or was refused
	Misdelivered []Finding // arrived for a recipient that was not accepted
}

// Compare compares deliveries with the records of the messages sent. A message whose final reply never came may arrive
// or not. A refused message must not arrive.
func Compare(records []Record, deliveries iter.Seq[sink.Delivery]) Comparison {
	var c Comparison
	byID := make(map[string]*Record, len(records))
	for i := range records {
		byID[records[i].ID] = &records[i]
	}
	arrived := make(map[address]int, len(records))
	for d := range deliveries {
		c.Arrived++
		if rec := c.known(byID, &d); rec != nil {
			arrived[address{d.ID, d.Rcpt}]++
			c.inspect(rec, &d)
		}
	}
	for i := range records {
		c.count(&records[i], arrived)
	}
	return c
}

type address struct{ id, rcpt string }

// known returns the record that d belongs to. When there is none it records a finding and returns nil.
func (c *Comparison) known(byID map[string]*Record, d *sink.Delivery) *Record {
	rec := byID[d.ID]
	switch {
	case rec == nil || d.ID == "":
		c.Phantom = append(c.Phantom, Finding{d.ID, d.Rcpt, "never sent"})
	case !rec.Acked && rec.Unsure == 0:
		c.Phantom = append(c.Phantom, Finding{d.ID, d.Rcpt, "was refused: " + rec.Reply})
	case !contains(rec.Rcpts, d.Rcpt):
		c.Misdelivered = append(c.Misdelivered, Finding{d.ID, d.Rcpt, "was for " + strings.Join(rec.Rcpts, ", ")})
	default:
		return rec
	}
	return nil
}

func contains(list []string, s string) bool {
	for _, have := range list {
		if have == s {
			return true
		}
	}
	return false
}

func (c *Comparison) inspect(rec *Record, d *sink.Delivery) {
	if d.Core != rec.Core {
		c.Altered = append(c.Altered, Finding{d.ID, d.Rcpt, "content"})
	}
	if d.From != rec.From {
		c.Altered = append(c.Altered, Finding{d.ID, d.Rcpt, fmt.Sprintf("sender <%s> became <%s>", rec.From, d.From)})
	}
}

func (c *Comparison) count(rec *Record, arrived map[address]int) {
	allowed := rec.Unsure
	if rec.Acked {
		allowed++
	}
	for _, rcpt := range rec.Rcpts {
		n := arrived[address{rec.ID, rcpt}]
		if rec.Acked && n == 0 {
			c.Lost = append(c.Lost, Finding{rec.ID, rcpt, "acknowledged"})
		}
		if n > allowed {
			c.Duplicated = append(c.Duplicated, Finding{rec.ID, rcpt, fmt.Sprintf("%d copies, %d allowed", n, allowed)})
		}
	}
}

// shown is how many findings of each kind the error names.
const shown = 5

// Err returns nil when nothing is wrong, else an error that counts the findings and names the first of each kind.
func (c Comparison) Err() error {
	var text strings.Builder
	for _, kind := range []struct {
		name string
		list []Finding
	}{
		{"lost", c.Lost}, {"duplicated", c.Duplicated}, {"altered", c.Altered},
		{"phantom", c.Phantom}, {"misdelivered", c.Misdelivered},
	} {
		if len(kind.list) == 0 {
			continue
		}
		fmt.Fprintf(&text, "; %d %s", len(kind.list), kind.name)
		for _, f := range kind.list[:min(shown, len(kind.list))] {
			fmt.Fprintf(&text, " [%s to %s: %s]", f.ID, f.Rcpt, f.What)
		}
	}
	if text.Len() == 0 {
		return nil
	}
	return errors.New("load: of " + fmt.Sprint(c.Arrived) + " arrivals" + text.String())
}
