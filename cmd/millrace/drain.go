package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// drainWait is how long a drain sends before it hands back what is left.
const drainWait = 5 * time.Minute

// undoDrain is the end of every text about a drain.
const undoDrain = `"millrace undrain" takes mail again`

func drainCommand() *cobra.Command {
	var flags actFlags
	wait := span(drainWait)
	var noFollow bool
	cmd := &cobra.Command{
		Use:   "drain",
		Short: "Take no more mail, and send or hand back all that waits",
		Long: `Take no more mail: the MTA keeps all of it. Send what waits as fast as its receivers take it. A message whose attempt fails,
or whose site is closed, goes back to the MTA at once; what is left at the end of --wait goes back too, also what is held or
paused. --wait 1s hands back everything now. The MTA delivers what it gets back, and Millrace does not take it again.

Progress is printed until nothing waits: then Millrace can be stopped and taken away. If the command is ended before, the drain goes
on, also over a restart; the command follows it again, and its --wait takes the place of the one before. "millrace undrain" ends
the drain: what was handed back stays with the MTA. With bounce.inject = "direct" there is no MTA to hand back to, and no drain.

The exit status is 0 when nothing waits any more, or with --no-follow when the drain has begun; 1 if somebody ends the drain; 75
while the daemon starts, or cannot record what it does.`,
		Example: "  millrace drain\n  millrace drain --wait 1h --no-follow",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := flags.act(relay.VerbDrain, relay.Selector{})
			a.Until = time.Now().Add(time.Duration(wait)).Round(time.Second)
			c, err := flags.client.client()
			if err != nil {
				return err
			}
			defer c.Close()
			r, err := c.Act(cmd.Context(), a)
			if err != nil {
				return err
			}
			v := drainView{out: cmd.OutOrStdout(), json: flags.client.json, until: a.Until}
			if err := v.begin(&a, &r); err != nil || a.DryRun || noFollow {
				return err
			}
			return v.follow(cmd.Context(), c, r, time.Second)
		},
	}
	cmd.Flags().Var(&wait, "wait", "how long to send before the rest is handed back, a `TIME`")
	cmd.Flags().BoolVar(&noFollow, "no-follow", false, "do not wait until everything is out")
	flags.addTo(cmd)
	return cmd
}

// drainView shows how far a drain is: on a terminal by one line that moves, else by a line for each second in which something has
// gone.
type drainView struct {
	out   io.Writer
	json  bool
	until time.Time

	bar  *progressbar.ProgressBar // nil: lines
	last int                      // shown last
}

// begin writes that the drain has begun, or what it would do.
func (v *drainView) begin(a *relay.Act, r *relay.ActReport) error {
	v.last = r.Waiting
	if v.json {
		return json.NewEncoder(v.out).Encode(r)
	}
	did, undo := "draining", "; "+undoDrain
	if a.DryRun {
		did, undo = "would drain", ""
	}
	_, err := fmt.Fprintf(v.out, "%s %s until %s, then the rest goes back to the MTA%s\n", did, counted(r), clock(v.until.Unix()), undo)
	return err
}

// restartTicks is how many questions in a row may find no daemon: one that is started again is not gone.
const restartTicks = 30

// follow asks until nothing waits. A daemon that is started again is waited for.
func (v *drainView) follow(ctx context.Context, c *console.Client, r relay.ActReport, every time.Duration) error {
	if f, ok := v.out.(*os.File); ok && !v.json && isTerminal(f) {
		v.bar = drainBar(f, r.Waiting)
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for missed := 0; !r.Done; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the drain goes on; \"millrace drain\" follows it again, and %s: %w", undoDrain, ctx.Err())
		case <-tick.C:
		}
		next, err := c.Drain(ctx)
		switch {
		case errors.Is(err, console.ErrNoDrain):
			return errors.New("somebody has ended the drain: mail is taken again")
		case errors.Is(err, console.ErrUnreachable) && missed < restartTicks:
			missed++
			continue
		case errors.Is(err, console.ErrNotNow) || ctx.Err() != nil:
			continue
		case err != nil:
			return err
		}
		r, missed = next, 0
		if err := v.show(&r); err != nil {
			return err
		}
	}
	return v.end()
}

// drainBar makes the line that moves. At its end nothing is left.
func drainBar(w io.Writer, waiting int) *progressbar.ProgressBar {
	return progressbar.NewOptions(max(1, waiting), progressbar.OptionSetWriter(w), progressbar.OptionSetWidth(24),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(false))
}

// show writes how much is left.
func (v *drainView) show(r *relay.ActReport) error {
	if v.bar != nil {
		if r.Waiting > v.bar.GetMax() { // notifications of what came back
			v.bar.ChangeMax(r.Waiting)
		}
		v.bar.Describe(several(r.Waiting, "message") + " left")
		return v.bar.Set(v.bar.GetMax() - r.Waiting)
	}
	if r.Waiting == v.last && !r.Done {
		return nil
	}
	v.last = r.Waiting
	if v.json {
		return json.NewEncoder(v.out).Encode(r)
	}
	_, err := fmt.Fprintf(v.out, "%s left\n", several(r.Waiting, "message"))
	return err
}

// end writes the last line.
func (v *drainView) end() error {
	if v.json {
		return nil
	}
	if v.bar != nil {
		_ = v.bar.Clear()
	}
	_, err := fmt.Fprintf(v.out, "everything is out: nothing waits, and nothing is taken; %s\n", undoDrain)
	return err
}

// isTerminal is false for a terminal that cannot move its cursor: the live line would fill it.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !strings.EqualFold(os.Getenv("TERM"), "dumb")
}

func undrainCommand() *cobra.Command {
	var flags actFlags
	cmd := &cobra.Command{
		Use:   "undrain",
		Short: "End a drain: take mail again",
		Long: `End a drain: mail is taken again, and what waits goes its usual way. What was handed back to the MTA stays there.

The exit status is 1 if no drain is in force.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.client.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if _, err := c.Drain(cmd.Context()); err != nil {
				return err
			}
			a := flags.act(relay.VerbUndrain, relay.Selector{})
			if _, err := flags.send(cmd, a); err != nil || flags.client.json {
				return err
			}
			text := "the drain is over: mail is taken again\n"
			if a.DryRun {
				text = "would end the drain\n"
			}
			_, err = io.WriteString(cmd.OutOrStdout(), text)
			return err
		},
	}
	flags.addTo(cmd)
	return cmd
}
