package demo

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"
)

// ErrDoesNotAddUp is returned when a message was lost, doubled or altered.
var ErrDoesNotAddUp = errors.New("the numbers do not add up")

// printResult prints the table or the JSON object. A result that does not add up is printed too: its numbers show where to
// look.
func printResult(o Options, t *tally) error {
	seconds := t.end.Sub(t.begin).Seconds()
	rate := float64(t.total.Sent) / seconds
	var err error
	if o.JSON {
		err = json.NewEncoder(o.Out).Encode(struct {
			reckoning
			Seconds float64 `json:"seconds"`
			Rate    float64 `json:"messages_per_second"`
		}{t.total, seconds, rate})
	} else {
		err = printTable(o.Out, t, seconds, rate)
	}
	if err == nil && !t.total.addsUp(o.Messages) {
		err = ErrDoesNotAddUp
	}
	return err
}

// printTable prints the sums by domain, because a mistake often belongs to one kind of receiver.
func printTable(out io.Writer, t *tally, seconds, rate float64) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "domain\tcharacter\ttaken\tsent\tbounced\twaiting\tlost\tduplicates\taltered\t")
	for i, dom := range t.net.domains {
		printRow(w, dom.name, dom.kind, &t.rows[i])
	}
	printRow(w, "all", "", &t.total)
	if err := w.Flush(); err != nil {
		return err
	}
	way := "back through the MTA"
	if t.mta.o.NoMTA {
		way = "to the MX of the return path"
	}
	if _, err := fmt.Fprintf(out, "\n%.1f s, %.0f messages/s delivered. %d bounces went %s.\n", seconds, rate, t.notice, way); err != nil {
		return err
	}
	for i, dom := range t.net.domains {
		if err := printHeld(out, dom.name, t.rows[i].Waiting, t.held[i]); err != nil {
			return err
		}
	}
	return nil
}

// printHeld says why mail of a domain waits: no mail of Millrace's waits without a reason and a next time.
func printHeld(out io.Writer, domain string, waiting int, h held) error {
	if waiting == 0 {
		return nil
	}
	next := "as soon as there is a channel"
	if h.next > 0 {
		next = "at " + time.Unix(h.next, 0).Format(time.TimeOnly)
	}
	_, err := fmt.Fprintf(out, "%d messages for %s wait and are tried again %s: %s\n", waiting, domain, next, cmp.Or(h.reason, "their turn has not come"))
	return err
}

func printRow(w *tabwriter.Writer, name, kind string, r *reckoning) {
	fmt.Fprintf(w, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t\n", name, kind, r.Taken, r.Sent, r.Bounced, r.Waiting, r.Lost, r.Duplicates, r.Altered)
}
