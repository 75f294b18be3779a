package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func (a *app) queueCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "queue",
		Short: "Show what waits",
		RunE:  needsCommand,
	}
	cmd.AddCommand(a.queueListCommand(), a.queueShowCommand())
	return cmd
}

func (a *app) queueListCommand() *cobra.Command {
	var f console.Filter
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the messages that wait, as mailq does",
		Long: `List the messages that wait, in the layout of mailq(1), or with --json in that of "postqueue -j" with fields of our own
at the end. A "*" behind the queue id marks a message that is on its way.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.list(cmd.Context(), c, f)
		},
	}
	cmd.Flags().StringVar(&f.Domain, "domain", "", "only messages to this `DOMAIN`")
	cmd.Flags().StringVar(&f.Sender, "sender", "", "only messages from this `ADDRESS`")
	a.addClientFlags(cmd)
	return cmd
}

// list writes as it reads: the queue may be longer than this program's memory.
func (a *app) list(ctx context.Context, c *console.Client, f console.Filter) error {
	out := bufio.NewWriter(a.out)
	p := mailq{w: out}
	put := p.put
	if a.json {
		put = encoder(out)
	}
	for l, err := range c.Messages(ctx, f) {
		if err != nil {
			return errors.Join(out.Flush(), err) // what was read is worth showing
		}
		if err := put(&l); err != nil {
			return err
		}
	}
	if !a.json {
		p.end()
	}
	return out.Flush()
}

func encoder(out *bufio.Writer) func(*relay.Listing) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	return func(l *relay.Listing) error { return enc.Encode(l) }
}

func (a *app) queueShowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one message: who still waits for it, why, and until when",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.client()
			if err != nil {
				return err
			}
			defer c.Close()
			return a.show(cmd.Context(), c, args[0])
		},
	}
	a.addClientFlags(cmd)
	return cmd
}

func (a *app) show(ctx context.Context, c *console.Client, id string) error {
	l, err := c.Message(ctx, id)
	if err != nil {
		return fmt.Errorf("%s: %w", clean(id), err)
	}
	out := bufio.NewWriter(a.out)
	if a.json {
		err = encoder(out)(&l)
	} else {
		printMessage(out, &l)
	}
	return errors.Join(err, out.Flush())
}
