package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// errNoneMeant is returned when an act was understood and there was nothing to do it to.
var errNoneMeant = errors.New("nothing was done")

// errWhichMail is the repair of a command that cannot be undone and names no mail.
var errWhichMail = errors.New("which mail? give ids, or flags such as --domain, --sender or --campaign; --older 1s is all mail but that of the last second")

// deed is a command that is done to messages that wait.
type deed struct {
	verb    relay.Verb
	would   string // as "hold"
	did     string // as "held"
	none    string // what is not there when nothing is done
	picks   bool   // it must say of which mail
	short   string
	long    string
	example string
}

// deeds are the commands below "queue" that change it.
var deeds = []deed{
	{
		verb: relay.VerbFlush, would: "flush", did: "flushed", none: "no message that waits matches", short: "Try messages now that wait for a retry",
		long: `Try messages now that wait for a retry, as "postqueue -f" does, and try the sites they go to that are closed. Messages keep
their place among the others of their site, and a site still gets no more than its pace.`,
		example: "  millrace queue flush --site example.com\n  millrace queue flush 4bXyZ1",
	}, {
		verb: relay.VerbHold, would: "hold", did: "held", none: "no message that waits matches", short: "Let messages wait until they are released",
		long: `Let messages wait until "millrace queue release". It is about mail that waits now, and not about mail to come: for that, see
"millrace pause". A message expires all the same, and its sender is told then.`,
		example: "  millrace queue hold --campaign autumn --reason 'wrong link'\n  millrace queue hold 4bXyZ1 4bXyZ2",
	}, {
		verb: relay.VerbRelease, would: "release", did: "released", none: "no message that is held matches", short: "Send messages that are held",
		long:    `Send messages that "millrace queue hold" has let wait. What a pause lets wait stays: see "millrace resume".`,
		example: "  millrace queue release --campaign autumn\n  millrace queue release 4bXyZ1",
	}, {
		verb: relay.VerbDelete, would: "delete", did: "deleted", none: "no message that waits matches", picks: true, short: "Forget messages, and tell nobody",
		long: `Forget messages. Neither the sender nor the recipients are told; the mail log has a line for each recipient. It cannot be
undone: see first with --dry-run what would be deleted. To tell the senders, use "millrace queue bounce".`,
		example: "  millrace queue delete --campaign autumn --dry-run\n  millrace queue list -j | jq -r 'select(.sender==\"x@example.com\").queue_id' | millrace queue delete -",
	}, {
		verb: relay.VerbBounce, would: "bounce", did: "bounced", none: "no message that waits matches", picks: true, short: "Return messages to their senders",
		long: `Return messages to their senders with a notification that they were not delivered. --reason stands in it. It cannot be
undone: see first with --dry-run what would be returned.`,
		example: "  millrace queue bounce --domain gone.example --reason 'the domain is closed'",
	}, {
		verb: relay.VerbHandback, would: "hand back", did: "handed back", none: "no message that waits matches", picks: true, short: "Give messages back to the MTA",
		long: `Give messages back to the MTA they came from, which then delivers them. Millrace does not take them a second time. To give
back all mail and take none, use "millrace drain".`,
		example: "  millrace queue handback --domain example.com --older 2h",
	},
}

// selecting is the part of the help that all deeds share.
const selecting = `

The flags say which mail: that for which each flag given is true. IDs are the MTA's queue ids or Millrace's own; with - they are
read from the standard input, one a line. What was done is printed in numbers, and holds over a restart of the daemon.

The exit status is 1 if nothing matches, or one of the IDs matches nothing; 64 if what the flags say cannot be meant; 75 while the
daemon starts, or cannot record what it does.`

// actFlags are those of every command that orders something.
type actFlags struct {
	client clientFlags
	reason name
	dryRun bool
}

func (f *actFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().VarP(&f.reason, "reason", "r", "the `TEXT` that lists, logs and notifications give as the reason")
	cmd.Flags().BoolVarP(&f.dryRun, "dry-run", "n", false, "only say what would be done")
	f.client.addTo(cmd)
}

// act is the order that the flags make of a verb.
func (f *actFlags) act(v relay.Verb, s relay.Selector) relay.Act {
	return relay.Act{Verb: v, Selector: s, Reason: string(f.reason), DryRun: f.dryRun}
}

func deedCommand(d deed) *cobra.Command {
	var flags actFlags
	var which selectorFlags
	cmd := &cobra.Command{
		Use:     string(d.verb) + " [ID...]",
		Short:   d.short,
		Long:    d.long + selecting,
		Example: d.example,
		RunE: func(cmd *cobra.Command, args []string) error {
			s := which.selector()
			switch {
			case s.ID != "" && len(args) > 0:
				return usageError{errors.New("--id and ID exclude each other; give all ids as arguments")}
			case d.picks && s.IsZero() && len(args) == 0:
				return usageError{errWhichMail}
			}
			c, err := flags.client.client()
			if err != nil {
				return err
			}
			defer c.Close()
			o := order{c: c, act: flags.act(d.verb, s), errs: cmd.ErrOrStderr()}
			o.each(cmd.Context(), args, cmd.InOrStdin())
			return errors.Join(printDeed(cmd.OutOrStdout(), d, flags, &o), o.verdict(d))
		},
	}
	which.addTo(cmd)
	flags.addTo(cmd)
	return cmd
}

// order is an act that is sent once, or once for each id.
type order struct {
	c    *console.Client
	act  relay.Act
	errs io.Writer

	done   relay.ActReport // the sum
	sent   int             // orders that were answered
	missed int             // of them, those that met nothing
	failed error           // what ended the orders
}

// each sends the act, for each id if there are any. It stops at the first id that cannot be done, and keeps the sum of those
// before.
func (o *order) each(ctx context.Context, ids []string, in io.Reader) {
	if len(ids) == 0 {
		o.send(ctx, "")
		return
	}
	for _, id := range ids {
		if id != "-" {
			if o.send(ctx, id); o.failed != nil {
				return
			}
			continue
		}
		lines := bufio.NewScanner(in)
		for o.failed == nil && lines.Scan() {
			if id := strings.TrimSpace(lines.Text()); id != "" {
				o.send(ctx, id)
			}
		}
		if o.failed = errors.Join(o.failed, lines.Err()); o.failed != nil {
			return
		}
	}
}

// send sends the act for one id, or for what the flags say.
func (o *order) send(ctx context.Context, id string) {
	a := o.act
	if id != "" {
		a.Selector.ID = id
	}
	r, err := o.c.Act(ctx, a)
	o.done.Messages += r.Messages
	o.done.Recipients += r.Recipients
	o.done.Bytes += r.Bytes
	o.done.Busy += r.Busy
	switch {
	case err != nil:
		o.failed = err
		return
	case r.Messages == 0:
		o.missed++
		if id != "" {
			fmt.Fprintf(o.errs, "millrace: %s: matches nothing\n", clean(id))
		}
	}
	o.sent++
}

// verdict is the error that the exit status follows.
func (o *order) verdict(d deed) error {
	switch {
	case o.failed != nil:
		return o.failed
	case o.sent == 0:
		return fmt.Errorf("%w: no id was given", errNoneMeant)
	case o.missed == o.sent:
		return fmt.Errorf("%w: %s", errNoneMeant, d.none)
	case o.missed > 0:
		return fmt.Errorf("%d of %d ids match nothing", o.missed, o.sent)
	}
	return nil
}

// printDeed writes what was done. Where nothing was done the error says so.
func printDeed(w io.Writer, d deed, flags actFlags, o *order) error {
	switch {
	case o.sent == 0:
		return nil
	case flags.client.json:
		return json.NewEncoder(w).Encode(o.done)
	case o.done.Messages == 0:
		return nil
	}
	did := d.did
	if flags.dryRun {
		did = "would " + d.would
	}
	busy := ""
	if o.done.Busy > 0 {
		busy = fmt.Sprintf("; %s under way, and %s when that visit ends, unless it delivers", areOf(o.done.Busy), d.did)
	}
	_, err := fmt.Fprintf(w, "%s %s%s\n", did, counted(&o.done), busy)
	return err
}

// areOf is so many of those named before, with the verb.
func areOf(n int) string {
	if n == 1 {
		return "1 of them is"
	}
	return grouped(n) + " of them are"
}

// counted is what an act was done to.
func counted(r *relay.ActReport) string {
	return fmt.Sprintf("%s (%s, %s)", several(r.Messages, "message"), several(r.Recipients, "recipient"), bytesize(r.Bytes))
}

// several is a number of things.
func several(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(n) + " " + thing + "s"
}

// grouped is n with commas: nobody counts the digits of a million.
func grouped(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
