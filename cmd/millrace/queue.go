package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// queueCommand shows the queue and changes it. Everybody who may open the socket may do both; the daemon records who did it.
func queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show, hold, flush, delete, bounce or hand back the messages that wait",
		RunE:  needsCommand,
	}
	cmd.AddCommand(queueListCommand(), queueShowCommand(), queueShapeCommand())
	for _, d := range deeds {
		cmd.AddCommand(deedCommand(d))
	}
	return cmd
}

func queueListCommand() *cobra.Command {
	var flags clientFlags
	var only console.Filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the messages that wait, as mailq does",
		Long: `List the messages that wait, in the order in which they were taken and in the layout of mailq(1). With --json the layout is that
of "postqueue -j", with fields of our own at the end. A "*" behind the queue id marks a message with a recipient who waits for no retry:
active or busy. A "!" marks a message that is held: see "millrace queue release".

With --most the list is a page of so many messages, and its last line names the --after of the next page: the last message's own id of
Millrace, "id" in the JSON.`,
		Example: "  millrace queue list --domain example.com\n  millrace queue list --most 50\n  millrace queue list --json | jq -r .queue_id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, ok := relay.ParseID(only.After); only.After != "" && !ok {
				return usageError{fmt.Errorf("--after %s: it is no id of Millrace's own; see \"id\" in the JSON", relay.ShellWord(clean(only.After)))}
			}
			if only.Most < 0 {
				return usageError{errors.New("--most must be 1 or more; 0 lists all")}
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if s, err := c.Status(cmd.Context()); err == nil && s.Journal.Recovering != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: this list is not complete\n", s.Journal.Recovering)
			}
			return list(cmd.Context(), c, only, cmd.OutOrStdout(), flags.json)
		},
	}
	cmd.Flags().StringVar(&only.Domain, "domain", "", "only messages to this `DOMAIN`")
	cmd.Flags().StringVar(&only.Sender, "sender", "", "only messages from this `ADDRESS`")
	cmd.Flags().IntVar(&only.Most, "most", 0, "at most so many messages, the `NUMBER`")
	cmd.Flags().StringVar(&only.After, "after", "", "only messages taken after the one with this `ID` of Millrace's own")
	flags.addTo(cmd)
	return cmd
}

// list writes while it reads: the queue may be larger than this program's memory. The total comes last and only after a
// complete walk, so a list that broke off cannot be taken for the whole.
func list(ctx context.Context, c *console.Client, only console.Filter, w io.Writer, asJSON bool) error {
	out := bufio.NewWriter(w)
	p := mailq{w: out}
	write := p.entry
	if asJSON {
		write = encoder[relay.Listing](out)
	}
	page := only.Most
	if page > 0 {
		only.Most++ // one more shows that there are more
	}
	last, n := "", 0
	for l, err := range c.Messages(ctx, only) {
		if err != nil {
			return errors.Join(out.Flush(), err) // the messages read so far are worth showing
		}
		if n++; page > 0 && n > page {
			break
		}
		last = l.ID
		if err := write(&l); err != nil {
			return err
		}
	}
	switch {
	case asJSON:
	case page > 0 && n > page:
		p.more(last, waiting(ctx, c, only))
	default:
		p.total()
	}
	return out.Flush()
}

// waiting is how many messages a list without pages would have; 0 if only a walk could tell.
func waiting(ctx context.Context, c *console.Client, only console.Filter) int64 {
	s, err := c.Status(ctx)
	if err != nil || only != (console.Filter{Most: only.Most}) {
		return 0
	}
	return s.Messages
}

func queueShowCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one message: its recipients, the reason why they wait, and the next attempt",
		Long: `Show one message, by the MTA's queue id or by Millrace's own: each recipient who still waits, the reason, the next
attempt, and the time when the message expires. Postfix gives its short queue ids again, so several messages may have one:
all of them are shown, the oldest first. Only Millrace's own id is never used twice. The exit status is 1 if no such message
waits. It is 75 while the daemon recovers and has not read the message.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			p := newLister(cmd, &flags)
			return writeAll(&p, about(args[0], c.MessagesNamed(cmd.Context(), args[0])), func(l *relay.Listing) error {
				p.next()
				printMessage(p.w, l)
				_, err := p.w.Write(nil)
				return err
			}, "")
		},
	}
	flags.addTo(cmd)
	return cmd
}
