package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func traceCommand() *cobra.Command {
	var flags clientFlags
	var most int
	cmd := &cobra.Command{
		Use:   "trace NAME",
		Short: "Show what became of a message, also after it has left",
		Long: fmt.Sprintf(`Show what became of a message: who brought it and which rule took it, every answer of a receiver, the end, and what the sender was
told; of a message that waits, also why. NAME is the address of a recipient, the MTA's queue id, Millrace's own id, or a
Message-ID, with or without angle brackets.

Several messages may have one name. The latest come first, %d at most unless --most says another number. By a recipient, only what
happened to that recipient is shown. How far back the history goes is "keep" under [history].

The exit status is 1 if there is no such message, and 75 while the daemon recovers. contrib/trace.md describes the fields of --json.`, console.MostTraces),
		Example: "  millrace trace joe@example.com\n  millrace trace 4bXyZ1\n  millrace trace '<20261103.1@n.example>' --json | jq '.messages[].events'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if most < 1 {
				return usageError{errors.New("--most must be 1 or more")}
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			report, err := lookUp(cmd.Context(), c, args[0], most)
			if err != nil {
				return err
			}
			p := tracePrinter{w: bufio.NewWriter(cmd.OutOrStdout()), err: cmd.ErrOrStderr(), json: flags.json}
			return p.report(args[0], &report)
		},
	}
	cmd.Flags().IntVar(&most, "most", console.MostTraces, "at most so many messages, the `NUMBER`")
	flags.addTo(cmd)
	return cmd
}

// lookUp asks for a name as what it looks like. An address and a Message-ID look alike, so the one that there is is meant.
func lookUp(ctx context.Context, c *console.Client, name string, most int) (report console.TraceReport, err error) {
	inner := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(name), "<"), ">")
	rcpt, id, messageID := console.TraceQuery{Recipient: inner}, console.TraceQuery{ID: inner}, console.TraceQuery{MessageID: inner}
	order := []console.TraceQuery{id, messageID, rcpt} // there are Message-IDs and recipients without "@"
	switch {
	case inner == "":
		return report, usageError{errors.New("NAME is empty")}
	case strings.HasPrefix(strings.TrimSpace(name), "<"):
		order = []console.TraceQuery{messageID, rcpt}
	case strings.Contains(inner, "@"):
		order = []console.TraceQuery{rcpt, messageID}
	}
	for _, q := range order {
		q.Most = most
		report, err = c.Trace(ctx, q)
		if err != nil || len(report.Messages) > 0 {
			return report, err
		}
	}
	return report, nil
}

// tracePrinter writes a report.
type tracePrinter struct {
	w    *bufio.Writer
	err  io.Writer
	json bool
}

func (p *tracePrinter) report(name string, r *console.TraceReport) error {
	if p.json {
		enc := json.NewEncoder(p.w)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
	if len(r.Messages) == 0 {
		return errors.Join(p.w.Flush(), noTrace(name, r))
	}
	if p.json {
		return p.w.Flush()
	}
	for i := range r.Messages {
		if i > 0 {
			p.w.WriteByte('\n')
		}
		p.message(&r.Messages[i])
	}
	if r.More {
		fmt.Fprintf(p.w, "\n-- there are older messages of this name; --most shows more\n")
	}
	for _, g := range r.Gaps {
		fmt.Fprintf(p.err, "millrace: %s missing in the history, from %s to %s\n", several(int(g.Events), "event"), instant(g.Since), instant(g.Until))
	}
	return p.w.Flush()
}

// noTrace says where the reader may look instead.
func noTrace(name string, r *console.TraceReport) error {
	switch {
	case r.Off:
		return fmt.Errorf(`%s: no such message is waiting, and no history is kept: keep = "off" under [history]`, clean(name))
	case r.Since == 0:
		return fmt.Errorf("%s: no such message; the history is empty", clean(name))
	}
	return fmt.Errorf("%s: no such message in the history, which goes back to %s; the mail log may know more", clean(name), instant(r.Since))
}

// message writes the facts and then the timeline, one event a line.
func (p *tracePrinter) message(t *console.Trace) {
	p.fact("Queue id", t.QueueID)
	p.fact("Millrace", t.ID)
	if t.MessageID != "" {
		p.fact("Message-ID", "<"+t.MessageID+">")
	}
	if len(t.Events) > 0 && t.Events[0].Event == "taken" || len(t.Waiting) > 0 {
		p.fact("Sender", address(t.Sender))
		p.fact("Size", fmt.Sprintf("%d bytes", t.Size))
	}
	if t.Recipients > 0 {
		p.fact("Recipients", fmt.Sprint(t.Recipients))
	}
	if t.Notice {
		p.fact("Kind", "a notification of Millrace's own")
	}
	p.fact("Rule", t.Rule)
	p.fact("Client", t.Client)
	p.fact("Tenant", t.Tenant)
	p.fact("Flow", t.Flow)
	p.fact("State", stateText(t.State))
	for i := range t.Events {
		p.event(&t.Events[i], t.Notice)
	}
	if t.MoreEvents {
		fmt.Fprintln(p.w, "-- there are more events")
	}
	for i := range t.Waiting {
		p.waiting(&t.Waiting[i])
	}
}

func (p *tracePrinter) fact(name, value string) {
	if value != "" {
		fmt.Fprintf(p.w, "%-10s %s\n", name, clean(value))
	}
}

func stateText(state string) string {
	switch state {
	case console.TraceWaiting:
		return "it waits"
	case console.TraceReporting:
		return "decided; the sender is not told of a failure yet"
	case console.TraceDone:
		return "done"
	}
	return "it does not wait, and the history has no end of it"
}

// textColumn is where the text of a line of the timeline begins.
const textColumn = len("2006-01-02 15:04:05.000  interrupted ")

// event writes when, what, to whom, and what was said.
func (p *tracePrinter) event(e *console.TraceEvent, notice bool) {
	text := eventText(e)
	if e.Event == "taken" && notice {
		text = seconds(e.Delay) + "s after it was written"
	}
	fmt.Fprintf(p.w, "%s  %-11s %s\n", instant(e.Time), clean(e.Event), clean(text))
	if e.MaybeTwice && e.Relay != "" {
		fmt.Fprintf(p.w, "%*s  the receiver gave no final answer and may have it already\n", textColumn-2, "")
	}
}

func eventText(e *console.TraceEvent) string {
	who := e.Recipient
	if who == "" {
		who = "a recipient whose name is not in the history any more"
	}
	switch e.Event {
	case "taken":
		return fmt.Sprintf("%ss after its MAIL command", seconds(e.Delay))
	case "reported":
		if e.Report == "" {
			return who + ": nobody need be told"
		}
		return who + ": the sender is told, in " + e.Report
	case "unheard":
		return who + " may get it twice: Millrace ended before the MTA heard that it was taken"
	case "interrupted":
		return who + " may get it twice: Millrace ended before the outcome was recorded"
	}
	text := who + ": " + e.Reply
	if e.Relay != "" && e.Relay != "none" {
		text += " -- " + e.Relay
	}
	if e.ConnUse > 1 {
		text += fmt.Sprintf(", use %d", e.ConnUse)
	}
	if d := e.Delays; d != nil {
		text += fmt.Sprintf(", delay %s (%s/%s/%s/%s)", seconds(e.Delay), seconds(d[0]), seconds(d[1]), seconds(d[2]), seconds(d[3]))
	}
	return text
}

func (p *tracePrinter) waiting(r *relay.ListedRcpt) {
	fmt.Fprintf(p.w, "%-*s  %-11s %s: %s after %d visits, next %s\n", len(instant(0)), "now", "waiting", clean(r.Address), clean(r.State), r.Attempts, nextTime(r))
	if r.DelayReason != "" {
		fmt.Fprintf(p.w, "%*s  %s\n", textColumn-2, "", clean(strings.TrimSpace(r.DelayReason)))
	}
}

// printHistory writes how far back messages can be traced. It writes nothing when no history is kept.
func printHistory(b *strings.Builder, h *console.History) {
	if h == nil {
		return
	}
	since := "it is empty"
	if h.Since > 0 {
		since = "since " + clock(int64(h.Since)/1000)
	}
	fmt.Fprintf(b, "history  %s, %s in %d files; %d events written", since, bytesize(h.Bytes), h.Segments, h.Written)
	if h.Missed > 0 {
		fmt.Fprintf(b, ", %d missed", h.Missed)
	}
	if h.Fault != "" {
		fmt.Fprintf(b, "; nothing is written now: %s", clean(h.Fault))
	}
	b.WriteByte('\n')
}

// instant is a time with the year, because a history is long, and with milliseconds, because a visit is short.
func instant(m console.Moment) string {
	return time.UnixMilli(int64(m)).Format("2006-01-02 15:04:05.000")
}

// seconds is a number of seconds as people read it.
func seconds(s float64) string {
	return strings.TrimSuffix(strings.TrimRight(fmt.Sprintf("%.2f", s), "0"), ".")
}
