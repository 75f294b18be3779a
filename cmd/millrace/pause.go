package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
)

// errWhichPause is the repair of a pause that names nothing.
var errWhichPause = errors.New("say of which mail: --domain, --site, --sender, --tenant or --campaign")

func pauseCommand() *cobra.Command {
	var flags actFlags
	var which selectorFlags
	var lasts span
	var until string
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Send nothing of a domain, site, sender, tenant or campaign for a time",
		Long: `Send nothing to a domain or a site, or nothing of a sender, a tenant or a campaign, until a time: neither what waits now
nor what comes. What is under way to a receiver ends. Mail is taken as before and waits; it expires all the same. Of several
flags each must be true: --campaign with --site is the mail of a campaign at one receiver. Without --for and --until a pause
lasts until "millrace resume". A pause of the same mail takes the place of the one before.

Millrace itself pauses a campaign at a provider that refuses its sender: see [stop] in millrace.toml. Who is then "Millrace".

A pause holds over a restart. "millrace pauses" lists it, and each message that waits by it says so in "millrace queue show".

The exit status is 64 if what the flags say cannot be meant; 75 while the daemon starts, or cannot record what it does.`,
		Example: "  millrace pause --site gmail --for 2h --reason 'they rate us down'\n  millrace pause --campaign autumn --until 18:30\n  millrace pause --campaign autumn --site yahoo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := flags.act(relay.VerbPause, which.selector())
			if a.Selector.IsZero() {
				return usageError{errWhichPause}
			}
			var err error
			if a.Until, err = endOf(lasts, until, time.Now()); err != nil {
				return usageError{err}
			}
			r, err := flags.send(cmd, a)
			if err != nil || flags.client.json {
				return err
			}
			return printPaused(cmd.OutOrStdout(), &a, &r)
		},
	}
	which.addStanding(cmd)
	cmd.Flags().Var(&lasts, "for", "how long, a `TIME` as 45m, 2h or 1d")
	cmd.Flags().StringVar(&until, "until", "", "the end, a `TIME` as 18:30 or \"2026-12-24 18:30\"")
	flags.addTo(cmd)
	return cmd
}

// send sends one act. With --json it prints the answer.
func (f *actFlags) send(cmd *cobra.Command, a relay.Act) (relay.ActReport, error) {
	c, err := f.client.client()
	if err != nil {
		return relay.ActReport{}, err
	}
	defer c.Close()
	r, err := c.Act(cmd.Context(), a)
	if err == nil && f.client.json {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	}
	return r, err
}

// endOf is the end of a pause; zero if it has none.
func endOf(lasts span, until string, now time.Time) (time.Time, error) {
	switch {
	case lasts > 0 && until != "":
		return time.Time{}, errors.New("--for and --until exclude each other")
	case lasts > 0:
		return now.Add(time.Duration(lasts)).Round(time.Second), nil
	case until != "":
		t, err := parseMoment(until, now)
		if err != nil {
			return time.Time{}, fmt.Errorf("--until: %w", err)
		}
		return t, nil
	}
	return time.Time{}, nil
}

// printPaused writes what is paused, how long, and how to end it.
func printPaused(w io.Writer, a *relay.Act, r *relay.ActReport) error {
	did, end := "paused", "until it is resumed"
	if a.DryRun {
		did = "would pause"
	}
	if !a.Until.IsZero() {
		end = "until " + clock(a.Until.Unix())
	}
	undo := ""
	if !a.DryRun {
		undo = fmt.Sprintf("; \"millrace resume %s\" ends it", asFlags(a.Selector))
	}
	_, err := fmt.Fprintf(w, "%s %s %s: %s wait now%s\n", did, asFlags(a.Selector), end, counted(r), undo)
	return err
}

func resumeCommand() *cobra.Command {
	var flags actFlags
	var which selectorFlags
	var all bool
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "End pauses",
		Long: `End each pause that has all the flags given, as "millrace pauses" lists them, or with --all every pause. Mail that is held
stays: see "millrace queue release".

The exit status is 1 if there is no such pause.`,
		Example: "  millrace resume --site gmail\n  millrace resume --campaign autumn --site yahoo\n  millrace resume --all",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a := flags.act(relay.VerbResume, which.selector())
			if a.Selector.IsZero() != all {
				return usageError{errors.New("say which pauses by the flags that \"millrace pauses\" lists, or --all for every one, and not both")}
			}
			r, err := flags.send(cmd, a)
			if err != nil {
				return err
			}
			if !flags.client.json && r.Pauses > 0 {
				err = printResumed(cmd.OutOrStdout(), &a, &r)
			}
			if r.Pauses == 0 {
				return fmt.Errorf("%w: there is no such pause; \"millrace pauses\" lists them", errNoneMeant)
			}
			return err
		},
	}
	which.addStanding(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "end every pause")
	flags.addTo(cmd)
	return cmd
}

func printResumed(w io.Writer, a *relay.Act, r *relay.ActReport) error {
	did := "ended"
	if a.DryRun {
		did = "would end"
	}
	_, err := fmt.Fprintf(w, "%s %s of %s\n", did, several(r.Pauses, "pause"), counted(r))
	return err
}

func pausesCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "pauses",
		Short: "List the pauses and holds in force, and who made them",
		Long: `List the pauses and holds in force, the oldest first: since when and until when, how much waits by each, who made it, what it
is about, in the flags of the command that made it, and why. Nodes is the messages that wait by it, each counted once for each of
its domains; it is 0 for a site, whose mail waits in line: see "millrace sites".`,
		Example: "  millrace pauses\n  millrace pauses --json | jq -r 'select(.until == null) | .selector'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			p := pausePrinter{newLister(cmd, &flags)}
			return writeAll(&p.lister, c.Pauses(cmd.Context()), p.line, "Nothing is paused or held\n")
		},
	}
	flags.addTo(cmd)
	return cmd
}

// pausePrinter writes pauses.
type pausePrinter struct{ lister }

// line writes one pause, below the heads of the columns if it is the first. What people wrote stands last: it has any length.
func (p *pausePrinter) line(v *relay.Pause) error {
	if p.count == 0 {
		p.columns("VERB", "SINCE", "UNTIL", "NODES", "WHO", "WHAT")
	}
	p.count++
	until := "-"
	if !v.Until.IsZero() {
		until = clock(v.Until.Unix())
	}
	what := asFlags(v.Selector)
	if v.Reason != "" {
		what += ": " + clean(strings.TrimSpace(v.Reason))
	}
	p.columns(clean(string(v.Verb)), clock(v.Since.Unix()), until, fmt.Sprint(v.Nodes), orDash(clean(v.Who)), what)
	_, err := p.w.Write(nil)
	return err
}

func (p *pausePrinter) columns(verb, since, until, nodes, who, what string) {
	fmt.Fprintf(p.w, "%-5s  %-19s  %-19s  %7s  %-22s  %s\n", verb, since, until, nodes, who, what)
}
