package main

import (
	"bufio"
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

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/rescue"
)

// rescueWait is how long a rescue follows the backlog at most.
const rescueWait = time.Hour

// names is a flag that may be given more than once, each time with a value.
type names []string

// Set implements pflag.Value.
func (n *names) Set(text string) error {
	var one name
	err := one.Set(text)
	*n = append(*n, text)
	return err
}

// String implements pflag.Value.
func (n *names) String() string { return strings.Join(*n, ", ") }

// Type implements pflag.Value.
func (*names) Type() string { return "string" }

func rescueCommand() *cobra.Command {
	var c rescueFlags
	cmd := &cobra.Command{
		Use:   "rescue",
		Short: "Take over the mail that is stuck in Postfix's queue",
		Long: `Take over the backlog of Postfix: the messages that are deferred now. Without it Postfix goes on trying each of them by itself.

The command shows the backlog by receiver, with what each of them says. Then it leads the recipients of that mail to Millrace's door for
filters, by a table in front of transport_maps, has Postfix try the mail ("postqueue -f", or -i for each message of a few), follows it
until all was tried, and puts the settings back: main.cf and master.cf are then byte for byte what they were. Postfix's queue is left to
Postfix. New mail goes on as before, unless it is for a recipient who has mail in the backlog. See first with --dry-run.

Millrace takes this mail whatever its rules say. What it does not take stays in Postfix's queue: mail for local domains and for domains
that Postfix sends by a route of its own (transport_maps, relayhost and the like; bulk.next_hops allows next hops), mail over
bulk.size_limit, mail that Millrace has handed back before. Nothing is returned to its sender because of the rescue itself; but a message
that is older than maximal_queue_lifetime is returned by Postfix when an attempt fails, as always.

The daemon must run with mode = "deliver" and have a listener in smtpd.filter. If the command is interrupted it puts the settings back at
once. If it is killed, or the host goes down, the next rescue puts them back, or "millrace rescue --undo"; until then mail to those
recipients goes to Millrace.

The exit status is 0 when all mail was tried, 1 if the rescue ends before (also by --wait), 69 if the daemon does not run, 75 if it takes
nothing just now, 77 if this is not root.`,
		Example: `  millrace rescue --dry-run
  millrace rescue --domain gmail.com --domain googlemail.com
  millrace rescue --sender @news.example.com --wait 4h
  millrace rescue --undo`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.run(cmd) },
	}
	fs := cmd.Flags()
	fs.Var(&c.domains, "domain", "only mail to this `DOMAIN`; may be given more than once")
	fs.Var(&c.senders, "sender", "only mail from this `ADDRESS`, or from a whole domain, as @example.com; <> is mail without a sender")
	fs.StringVar(&c.dir, "mta-dir", "", "`DIR` of main.cf; else /etc/postfix")
	c.wait = span(rescueWait)
	fs.Var(&c.wait, "wait", "how long to follow the backlog at most, a `TIME`")
	fs.BoolVarP(&c.dryRun, "dry-run", "n", false, "only show the backlog, and what would be carried")
	fs.BoolVar(&c.status, "status", false, "only say whether a rescue is in force")
	fs.BoolVar(&c.undo, "undo", false, "only put back the settings that an interrupted rescue has left")
	c.client.addTo(cmd)
	return cmd
}

// rescueFlags are the flags of a rescue.
type rescueFlags struct {
	client               clientFlags
	domains, senders     names
	dir                  string
	wait                 span
	dryRun, status, undo bool
}

func (c *rescueFlags) run(cmd *cobra.Command) error {
	if c.dryRun && (c.status || c.undo) || c.status && c.undo {
		return usageError{errors.New("--dry-run, --status and --undo exclude each other")}
	}
	ctx, view := cmd.Context(), rescueView{out: cmd.OutOrStdout(), json: c.client.json}
	cfg := rescue.Config{
		Dir: c.dir, Selector: rescue.Selector{Domains: c.domains, Senders: c.senders}, Wait: time.Duration(c.wait), Tell: view.tell,
	}
	if c.status || c.undo {
		r, err := rescue.New(ctx, cfg, nil)
		if err == nil && c.undo {
			return view.undo(ctx, r)
		} else if err == nil {
			err = view.state(r)
		}
		return err
	}
	var err error
	if cfg.Config, err = config.Load(c.client.config.path()); err != nil {
		return err
	}
	client, err := c.client.client()
	if err != nil {
		return err
	}
	defer client.Close()
	r, err := rescue.New(ctx, cfg, client)
	if err != nil {
		return err
	}
	ready := r.Ready(ctx)
	if ready != nil && !c.dryRun {
		return ready
	}
	p, err := r.Plan(ctx)
	if err != nil {
		return err
	}
	if err := view.plan(p); err != nil {
		return err
	}
	if c.dryRun {
		return ready
	}
	report, err := r.Carry(ctx, p)
	return errors.Join(view.report(report), err)
}

// rescueView shows a rescue: with --json each step is a line, an object with one key.
type rescueView struct {
	out  io.Writer
	json bool
	bar  *progressbar.ProgressBar
	last rescue.Progress
}

// encode writes one object under a key.
func (v *rescueView) encode(key string, value any) error {
	return json.NewEncoder(v.out).Encode(map[string]any{key: value})
}

func (v *rescueView) undo(ctx context.Context, r *rescue.Rescue) error {
	was, err := r.Undo(ctx)
	switch {
	case err != nil:
		return err
	case v.json:
		return v.encode("undone", was)
	case was:
		_, err = fmt.Fprintln(v.out, "the settings of Postfix are put back")
	default:
		_, err = fmt.Fprintln(v.out, "no rescue has left anything")
	}
	return err
}

func (v *rescueView) state(r *rescue.Rescue) error {
	rec, runs, err := r.State()
	switch {
	case err != nil:
		return err
	case v.json:
		return v.encode("state", map[string]any{"in_force": rec, "runs": runs})
	case rec == nil:
		_, err = fmt.Fprintln(v.out, "no rescue is in force")
		return err
	}
	end := "its command does not run any more: \"millrace rescue --undo\" puts the settings back"
	if runs {
		end = fmt.Sprintf("its command runs, process %d", rec.PID)
	}
	_, err = fmt.Fprintf(v.out, "since %s mail to %s goes to %s; %s\n", clock(rec.Begun.Unix()), several(rec.Addresses, "recipient"), clean(rec.Door), end)
	return err
}

// maxRescueSites is how many sites have rows of their own.
const maxRescueSites = 20

// plan writes the backlog by site, and what would be carried.
func (v *rescueView) plan(p *rescue.Plan) error {
	if v.json {
		return v.encode("plan", p)
	}
	out := bufio.NewWriter(v.out)
	fmt.Fprintf(out, "%s deferred in Postfix, for %s\n", several(p.Messages, "message"), several(p.Recipients, "recipient"))
	now := time.Now().Unix()
	rest, more := 0, 0
	for i, s := range p.Sites {
		if i >= maxRescueSites {
			rest, more = rest+s.Recipients, more+1
			continue
		}
		name := clean(s.Name)
		if s.Domains > 1 {
			name += " and " + several(s.Domains-1, "other domain")
		}
		fmt.Fprintf(out, "\n%s: %s in %s, %s to %s old\n", name, several(s.Recipients, "recipient"), several(s.Messages, "message"), age(now-s.Newest), age(now-s.Oldest))
		for _, t := range s.Reasons {
			fmt.Fprintf(out, "%9s  %s\n", grouped(t.Count), clean(t.Text))
		}
		var from []string
		for _, t := range s.Senders {
			from = append(from, clean(t.Text))
		}
		fmt.Fprintf(out, "%9s  %s\n", "from", strings.Join(from, ", "))
	}
	if more > 0 {
		fmt.Fprintf(out, "\n%s more: %s\n", several(more, "site"), several(rest, "recipient"))
	}
	fmt.Fprintf(out, "\ncarried: %s\n", several(p.Carried, "recipient"))
	for _, t := range p.Staying {
		fmt.Fprintf(out, "stays:   %s: %s\n", several(t.Count, "recipient"), clean(t.Text))
	}
	return out.Flush()
}

// age is a number of seconds in its two largest units.
func age(seconds int64) string {
	d := time.Duration(max(0, seconds)) * time.Second
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// tell writes how far the rescue is: on a terminal by one line that moves.
func (v *rescueView) tell(p rescue.Progress) {
	if v.json {
		_ = v.encode("progress", p) // an output that is gone must not end the rescue
		return
	}
	f, ok := v.out.(*os.File)
	switch {
	case p.Note != "":
		v.endBar()
		fmt.Fprintln(v.out, clean(p.Note))
	case ok && isTerminal(f):
		if v.bar == nil {
			v.bar = drainBar(f, p.Carried)
		}
		v.bar.Describe(progressText(p))
		_ = v.bar.Set(p.Carried - p.Postfix)
	case p != v.last:
		fmt.Fprintln(v.out, progressText(p))
	}
	v.last = p
}

func (v *rescueView) endBar() {
	if v.bar != nil {
		_ = v.bar.Clear()
		v.bar = nil
	}
}

func progressText(p rescue.Progress) string {
	return fmt.Sprintf("%s left with Postfix (%s not taken), %s sent", several(p.Postfix, "recipient"), grouped(p.Stays), grouped(int(p.Sent)))
}

// report writes what became of the mail.
func (v *rescueView) report(r *rescue.Report) error {
	switch {
	case r == nil:
		return nil
	case v.json:
		return v.encode("report", r)
	}
	v.endBar()
	out := bufio.NewWriter(v.out)
	fmt.Fprintf(out, "of %s: %s delivered, %s waiting at Millrace, %s returned to their senders, %s left with Postfix",
		several(r.Carried, "recipient"), grouped(r.Sent), grouped(r.Waiting), grouped(r.Returned), grouped(r.Left))
	if r.Elsewhere > 0 {
		fmt.Fprintf(out, ", %s gone by another way", grouped(r.Elsewhere))
	}
	out.WriteByte('\n')
	for _, t := range r.Reasons {
		fmt.Fprintf(out, "left:    %s: %s\n", several(t.Count, "recipient"), clean(t.Text))
	}
	return out.Flush()
}
