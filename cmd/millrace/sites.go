package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay/console"
)

func sitesCommand() *cobra.Command {
	var flags clientFlags
	var every bool
	cmd := &cobra.Command{
		Use:   "sites [SITE]",
		Short: "Show the receivers: how fast each is fed, who says so, and why one is closed",
		Long: fmt.Sprintf(`Show the receivers that are known, one a line, those with the most waiting messages first: %d at most, or with --all
every one, in no order. A site is the MX hosts that receive a domain's mail; domains with the same hosts share one. Each of our
source addresses has its own line, because a receiver's limits are for an address.

Window is the transactions under way, how many there may be, and who set that: default, learned, a reply, or a rule or provider by
its name. Rate is the most messages a second, and who set it. Goodput is the messages a second that the site takes. Open is the
connections, and in brackets the idle ones. Nodes is the messages in line, each counted once for each of its domains; deferred ones
stand in no line. A "+" behind an age says that a message may be older, because the line is too long to be looked at whole.

With SITE, show all that is known of the sites that it stands for: a site as the list has it, one of its hosts, a domain whose mail
goes there, or a provider such as gmail. The exit status is 1 if there is none.`, console.MaxSites),
		Example: "  millrace sites\n  millrace sites example.com\n  millrace sites --all --json | jq -r 'select(.closed_until) | .site'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if every && len(args) > 0 {
				return usageError{errors.New("--all and SITE exclude each other")}
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			p := sitePrinter{lister: newLister(cmd, &flags)}
			if len(args) > 0 {
				return writeAll(&p.lister, about(args[0], c.SitesNamed(cmd.Context(), args[0])), p.block, "")
			}
			return p.list(cmd.Context(), c, every)
		},
	}
	cmd.Flags().BoolVar(&every, "all", false, "list every site, in no order")
	flags.addTo(cmd)
	return cmd
}

// sitePrinter writes sites.
type sitePrinter struct {
	lister
	sources bool // there are [[source]] tables, and a column for them
}

// list writes one line a site.
func (p *sitePrinter) list(ctx context.Context, c *console.Client, every bool) error {
	most := console.MaxSites
	if every {
		most = 0
	}
	if !p.json {
		s, err := c.Status(ctx)
		if err != nil {
			return err
		}
		p.sources = len(s.Sources) > 0
	}
	if err := writeAll(&p.lister, c.Sites(ctx, most), p.line, ""); err != nil || p.json {
		return err
	}
	p.total(every)
	return p.w.Flush()
}

// line writes one site, below the heads of the columns if it is the first.
func (p *sitePrinter) line(s *console.Site) error {
	if p.count == 0 {
		p.columns("SITE", "SOURCE", "WINDOW", "RATE", "GOODPUT", "OPEN", "QUEUES", "NODES", "OLDEST", "STATE")
	}
	p.count++
	p.columns(clean(s.Site), orDash(clean(s.Source)), fmt.Sprintf("%d/%d %s", s.Channels, s.Window, clean(s.WindowBy)), ratedBy(s),
		perSecond(s.Goodput), fmt.Sprintf("%d(%d)", s.Open, s.Idle), fmt.Sprint(s.Waiting), fmt.Sprint(s.Nodes), p.oldest(s), p.state(s))
	_, err := p.w.Write(nil)
	return err
}

// columns are divided by two spaces at least: a site may be longer than its column.
func (p *sitePrinter) columns(site, source, window, rate, goodput, open, queues, nodes, oldest, state string) {
	fmt.Fprintf(p.w, "%-32s  ", site)
	if p.sources {
		fmt.Fprintf(p.w, "%-12s  ", source)
	}
	fmt.Fprintf(p.w, "%-16s  %-16s  %8s  %7s  %6s  %7s  %6s  %s\n", window, rate, goodput, open, queues, nodes, oldest, state)
}

// total says how many sites were listed, and that there may be more.
func (p *sitePrinter) total(every bool) {
	switch {
	case p.count == 0:
		p.w.WriteString("No site is known: nothing was sent lately\n")
	case !every && p.count >= console.MaxSites:
		fmt.Fprintf(p.w, "-- the first %d; --all lists every site\n", p.count)
	}
}

// state is why the site's mail does not move, and what the site has taught us.
func (p *sitePrinter) state(s *console.Site) string {
	var parts []string
	note := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch {
	case s.ClosedUntil > p.now.Unix():
		note("closed until %s: %s", clock(s.ClosedUntil), clean(s.Reason))
	case s.Reason != "":
		note("on trial: %s", clean(s.Reason))
	}
	if s.Held != nil && s.Held.Reason != s.Reason {
		note("%s", clean(s.Held.Reason))
	}
	if s.LastThrottle != "" {
		note("slowed %s ago: %s", p.age(s.LastThrottleAt), clean(s.LastThrottle))
	}
	if s.LearnedSince > 0 {
		note("learned for %s", p.age(s.LearnedSince))
	}
	return orDash(strings.Join(parts, "; "))
}

// oldest is the age of the oldest message in line, marked if it is the least that this can be.
func (p *sitePrinter) oldest(s *console.Site) string {
	if s.AtLeast && s.Oldest > 0 {
		return p.age(s.Oldest) + "+"
	}
	return p.age(s.Oldest)
}

// roughly is d in one or two units: nobody needs the seconds of a day.
func roughly(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", int(d.Hours())/24)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%ds", max(0, int(d.Seconds())))
}

// perSecond is a rate in the unit in which it is 1 or more. "-" stands for 0.
func perSecond(rate float64) string {
	for _, u := range []struct {
		name    string
		seconds float64
	}{{"s", 1}, {"m", 60}, {"h", 3600}} {
		switch n := rate * u.seconds; {
		case n >= 100:
			return fmt.Sprintf("%.0f/%s", n, u.name)
		case n >= 0.9995:
			return fmt.Sprintf("%.3g/%s", n, u.name)
		}
	}
	if rate <= 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g/d", rate*86400)
}

// ratedBy is the site's rate and who set it.
func ratedBy(s *console.Site) string {
	if s.Rate == 0 {
		return "-"
	}
	return perSecond(s.Rate) + " " + clean(s.RateBy)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// block writes all that is known of one site, one fact a line, with an empty line in front of all but the first.
func (p *sitePrinter) block(s *console.Site) error {
	p.next()
	p.fact("Site", "%s", clean(s.Site))
	for _, h := range s.Hosts {
		p.fact("Host", "%s", clean(h))
	}
	p.fact("Source", "%s", orDash(clean(s.Source)))
	p.fact("Provider", "%s", orDash(clean(s.Provider)))
	p.fact("Rule", "%s", orDash(clean(s.Rule)))
	p.terms(s)
	p.pace(s)
	p.waiting(s)
	p.obstacles(s)
	_, err := p.w.Write(nil)
	return err
}

// terms writes what the rules say, and the day's plan.
func (p *sitePrinter) terms(s *console.Site) {
	p.fact("Terms", "tls %s; at most %s messages a connection, %s recipients and %s domains a transaction", orDash(clean(s.TLS)),
		number(s.MessagesPerConnection), number(s.RecipientsPerMessage), number(s.DomainsPerTransaction))
	if w := s.Warming; w != nil {
		p.fact("Warm-up", "%d of today's %d recipients are spent at %s", w.Spent, w.Plan, clean(w.Provider))
	}
}

// number is a limit; 0 is none.
func number(n int) string {
	if n == 0 {
		return "any"
	}
	return fmt.Sprint(n)
}

// pace writes how fast the site is fed.
func (p *sitePrinter) pace(s *console.Site) {
	p.fact("Window", "%d of %d at work, %d of them slow; set by %s", s.Channels, s.Window, s.Slow, clean(s.WindowBy))
	if s.Ceiling > 0 {
		p.fact("Ceiling", "%d connections, as the site's refusals have shown", s.Ceiling)
	}
	if s.Rate > 0 {
		p.fact("Rate", "%s at most; set by %s", perSecond(s.Rate), clean(s.RateBy))
	} else {
		p.fact("Rate", "no limit")
	}
	if s.LatencyMS > 0 {
		p.fact("Goodput", "%s; a message is answered in %.3g ms", perSecond(s.Goodput), s.LatencyMS)
	} else {
		p.fact("Goodput", "%s", perSecond(s.Goodput))
	}
	p.fact("Connections", "%d open, %d of them idle", s.Open, s.Idle)
	if s.LearnedSince > 0 {
		p.fact("Learned", "since %s", clock(s.LearnedSince))
	}
	if s.LastThrottle != "" {
		p.fact("Slowed", "%s: %s", clock(s.LastThrottleAt), clean(s.LastThrottle))
	}
}

// waiting writes the line before the site.
func (p *sitePrinter) waiting(s *console.Site) {
	switch {
	case s.Waiting == 0:
		p.fact("Waiting", "nothing")
	case s.Oldest == 0:
		p.fact("Waiting", "%d nodes in %d queues", s.Nodes, s.Waiting)
	default:
		before := ""
		if s.AtLeast {
			before = " or before"
		}
		p.fact("Waiting", "%d nodes in %d queues, the oldest since %s%s", s.Nodes, s.Waiting, clock(s.Oldest), before)
	}
	for _, f := range s.Flows {
		urgent := ""
		if f.Urgent {
			urgent = ", urgent"
		}
		p.fact("Flow", "tenant %s, name %s, sender %s%s: %d nodes in %d queues", orDash(clean(f.Tenant)), orDash(clean(f.Name)),
			orDash(clean(f.Sender)), urgent, f.Nodes, f.Queues)
	}
	if s.MoreFlows > 0 {
		p.fact("Flow", "%d more", s.MoreFlows)
	}
}

// obstacles writes what keeps mail from the site. It stands last, next to the prompt.
func (p *sitePrinter) obstacles(s *console.Site) {
	for _, x := range s.Suspended {
		p.fact("Suspended", "mail of %s until %s: %s", clean(x.Sender), clock(x.Until), clean(x.Reason))
	}
	for _, c := range s.InClear {
		p.fact("In clear", "%s, %d connections, until %s: %s", clean(c.Host), c.Connections, clock(c.Until), clean(c.Reason))
	}
	switch {
	case s.ClosedUntil > 0:
		p.fact("Closed", "until %s: %s", clock(s.ClosedUntil), clean(s.Reason))
	case s.Reason != "":
		p.fact("Closed", "%s", clean(s.Reason))
	}
	if h := s.Held; h != nil && h.Reason != s.Reason {
		p.fact("Held up", "%s", clean(h.Reason))
	}
}
