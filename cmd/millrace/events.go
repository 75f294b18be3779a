package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// eventFlags are the flags of "millrace events".
type eventFlags struct {
	clientFlags
	follow bool
	since  name
	kinds  []string

	tenant, campaign, domain, sender, recipient, id name
}

// query is what the flags ask the daemon for.
func (f *eventFlags) query() url.Values {
	q := url.Values{"follow": {strconv.FormatBool(f.follow)}}
	for key, value := range map[string]name{
		"since": f.since, "tenant": f.tenant, "campaign": f.campaign, "domain": f.domain, "sender": f.sender, "recipient": f.recipient, "id": f.id,
	} {
		if value != "" {
			q.Set(key, string(value))
		}
	}
	if len(f.kinds) > 0 {
		q["kind"] = f.kinds
	}
	return q
}

func eventsCommand() *cobra.Command {
	var flags eventFlags
	cmd := &cobra.Command{
		Use:   "events",
		Short: "Show what happens to mail, as it happens",
		Long: `Show the records of the event stream: what is taken and delivered, what fails and why, what is left with the MTA, and what admins
order. Without -f the command ends with the newest record; without --since it begins with the oldest one in memory, and with -f with
what comes. --since POSITION goes on behind a record; 0 is the oldest one in the files of [events]. All selectors must hold.

A record of type gap says that records were missed. contrib/events.md describes every type and field.`,
		Example: `  millrace events -f
  millrace events -f --kind bounce,expiration --campaign autumn
  millrace events --since 0 --recipient ann@example.com --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return flags.run(cmd) },
	}
	flags.addTo(cmd)
	fs := cmd.Flags()
	fs.BoolVarP(&flags.follow, "follow", "f", false, "go on with what comes, until it is interrupted")
	fs.Var(&flags.since, "since", "only what comes behind this `POSITION`")
	fs.StringSliceVar(&flags.kinds, "kind", nil, "only records of these `TYPES`, with commas")
	fs.Var(&flags.tenant, "tenant", "mail of the [[tenant]] of this `NAME`")
	fs.Var(&flags.campaign, "campaign", "mail of this campaign or list, the `NAME`")
	fs.Var(&flags.domain, "domain", "mail to this `DOMAIN`")
	fs.Var(&flags.sender, "sender", "mail from this `ADDRESS`, or from a whole domain, as @example.com; <> is mail without a sender")
	fs.Var(&flags.recipient, "recipient", "mail to this `ADDRESS`, or to a whole domain, as @example.com")
	fs.Var(&flags.id, "id", "the message with this `ID`, the MTA's or Millrace's own")
	return cmd
}

// run prints the records until the stream ends, or a signal ends the command.
func (f *eventFlags) run(cmd *cobra.Command) error {
	if slices.Contains(f.kinds, "") {
		return usageError{fmt.Errorf("--kind is empty; give a type, or leave the flag out")}
	}
	c, err := f.client()
	if err != nil {
		return err
	}
	defer c.Close()
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	p := eventPrinter{w: bufio.NewWriter(cmd.OutOrStdout()), json: f.json, unbuffered: f.follow}
	for record, err := range c.Events(ctx, f.query()) {
		if err == nil {
			err = p.print(record)
		}
		if err != nil {
			return cmp.Or(p.w.Flush(), err)
		}
	}
	if p.count == 0 && ctx.Err() == nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "millrace: no event matches")
	}
	return p.w.Flush()
}

// eventPrinter writes records, as JSON or one line each.
type eventPrinter struct {
	w          *bufio.Writer
	json       bool
	unbuffered bool
	count      int
}

func (p *eventPrinter) print(record json.RawMessage) error {
	p.count++
	if p.json {
		p.w.Write(record)
	} else {
		p.line(record)
	}
	err := p.w.WriteByte('\n')
	if p.unbuffered {
		err = p.w.Flush()
	}
	return err
}

// line writes what people look for first, and then all other fields.
func (p *eventPrinter) line(record json.RawMessage) {
	var all map[string]any
	dec := json.NewDecoder(strings.NewReader(string(record)))
	dec.UseNumber()
	if dec.Decode(&all) != nil {
		p.w.WriteString(clean(string(record)))
		return
	}
	text := func(key string) string {
		v, ok := all[key]
		delete(all, key)
		if !ok {
			return ""
		}
		return clean(fmt.Sprint(v))
	}
	fmt.Fprintf(p.w, "%s %s %-17s %s", text("position"), text("time"), text("type"), cmp.Or(text("queue_id"), text("id"), "-"))
	if to := text("recipient"); to != "" {
		fmt.Fprintf(p.w, " to=<%s>", to)
	}
	if _, ok := all["sender"]; ok {
		fmt.Fprintf(p.w, " from=<%s>", text("sender"))
	}
	p.rest(all)
}

// hidden are the fields that say in other words what the line has, or are for machines.
var hidden = []string{"id", "domain", "delays", "size", "rule", "client", "arrived", "conn_use", "delay"}

// rest writes the other fields in the order of the alphabet.
func (p *eventPrinter) rest(all map[string]any) {
	keys := make([]string, 0, len(all))
	for key := range all {
		if !slices.Contains(hidden, key) {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		value := all[key]
		if reply, ok := value.(map[string]any); ok {
			var words []string
			for _, part := range []string{"code", "enhanced", "text"} {
				if v, ok := reply[part]; ok {
					words = append(words, fmt.Sprint(v))
				}
			}
			value = "(" + strings.Join(words, " ") + ")"
		}
		fmt.Fprintf(p.w, " %s=%s", clean(key), clean(fmt.Sprint(value)))
	}
}
