package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay/console"
)

// restOf is how a row is called that has all campaigns without a row.
const restOf = "(other campaigns)"

func campaignsCommand() *cobra.Command {
	var flags clientFlags
	var tenant string
	var most int
	cmd := &cobra.Command{
		Use:   "campaigns",
		Short: "Show what became of each campaign, list or sender",
		Long: fmt.Sprintf(`Show, for each campaign, list or sender whose mail came here, what was counted of its recipients since the first start, whatever
restarts there were. Those whose mail moved last come first, %d at most unless --most says another number. A campaign is called by
what its mail says of itself: List-Id, Feedback-ID, the header of a campaign program, else the sender's domain. Campaigns that have
nothing left are forgotten after statistics.keep, and before that if there are more than statistics.campaigns; what they have
counted stays in the row of other campaigns.`, console.MaxCampaigns),
		Example: "  millrace campaigns\n  millrace campaigns --tenant shop\n  millrace campaigns --json | jq 'select(.bounced > .sent / 50) | .name'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if most < 1 {
				return usageError{errors.New("--most must be 1 or more")}
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			p := campaignPrinter{newLister(cmd, &flags)}
			return writeAll(&p.lister, c.Campaigns(cmd.Context(), tenant, most), p.line, "No mail was taken yet\n")
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "those of the tenant `NAME` alone")
	cmd.Flags().IntVar(&most, "most", console.MaxCampaigns, "at most so many campaigns, the `NUMBER`")
	flags.addTo(cmd)
	return cmd
}

func campaignCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "campaign", Short: "Look at one campaign", RunE: needsCommand}
	cmd.AddCommand(campaignShowCommand())
	return cmd
}

func campaignShowCommand() *cobra.Command {
	var flags clientFlags
	var tenant string
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show what became of a campaign",
		Long: `Show all that was counted of a campaign, list or sender, and how long the rest of it will take. NAME is what "millrace campaigns"
calls it. Where several tenants or senders have one of that name, each is shown. The exit status is 1 if there is none.`,
		Example: "  millrace campaign show spring-2026\n  millrace campaign show --tenant shop spring-2026 --json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			p := campaignPrinter{newLister(cmd, &flags)}
			return writeAll(&p.lister, about(args[0], c.CampaignsNamed(cmd.Context(), tenant, args[0])), p.block, "")
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "that of the tenant `NAME` alone")
	flags.addTo(cmd)
	return cmd
}

// campaignPrinter writes campaigns.
type campaignPrinter struct{ lister }

// line writes one row, below the heads of the columns if it is the first. A name stands last: it has any length.
func (p *campaignPrinter) line(c *console.Campaign) error {
	if p.count == 0 {
		p.columns("TAKEN", "SENT", "BOUNCED", "DEFERRED", "OTHER", "LEFT", "RATE", "ETA", "LAST", "CAMPAIGN")
	}
	p.count++
	p.columns(grouped(int(c.Recipients)), grouped(int(c.Sent)), grouped(int(c.Bounced)), grouped(int(c.Deferred)),
		grouped(int(c.Expired+c.HandedBack+c.Suppressed+c.Deleted)), grouped(int(c.Left)), perSecond(c.Rate), eta(c), p.age(max(c.LastTaken, c.LastSent)),
		campaignTitle(c))
	_, err := p.w.Write(nil)
	return err
}

func (p *campaignPrinter) columns(taken, sent, bounced, deferred, other, left, rate, eta, last, name string) {
	fmt.Fprintf(p.w, "%11s %11s %9s %9s %9s %11s %8s %7s %7s  %s\n", taken, sent, bounced, deferred, other, left, rate, eta, last, name)
}

// campaignTitle is how a row is called.
func campaignTitle(c *console.Campaign) string {
	name := cmp.Or(clean(c.Name), clean(c.Sender), "-")
	if c.Rest {
		name = restOf
	}
	if c.Tenant != "" {
		name = clean(c.Tenant) + "/" + name
	}
	return name
}

// eta is how long the rest takes.
func eta(c *console.Campaign) string {
	switch {
	case c.Left == 0:
		return "-"
	case c.ETA == 0:
		return "?"
	}
	return roughly(time.Duration(c.ETA) * time.Second)
}

// block writes all that is known of one campaign, one fact a line, with an empty line in front of all but the first.
func (p *campaignPrinter) block(c *console.Campaign) error {
	p.next()
	p.fact("Campaign", "%s", orDash(clean(c.Name)))
	p.fact("Tenant", "%s", orDash(clean(c.Tenant)))
	p.fact("Sender", "%s", orDash(clean(c.Sender)))
	p.fact("Taken", "%s messages, %s recipients", grouped(int(c.Messages)), grouped(int(c.Recipients)))
	p.fact("Sent", "%s", grouped(int(c.Sent)))
	p.fact("Deferred", "%s visits", grouped(int(c.Deferred)))
	p.fact("Bounced", "%s%s", grouped(int(c.Bounced)), byClass(c.BouncedBy))
	p.fact("Other", "%s expired, %s handed back, %s suppressed, %s deleted", grouped(int(c.Expired)), grouped(int(c.HandedBack)),
		grouped(int(c.Suppressed)), grouped(int(c.Deleted)))
	p.fact("Left", "%s", p.left(c))
	p.fact("First", "%s", never(c.First))
	p.fact("Last taken", "%s%s", never(c.LastTaken), withID(c.LastMessage))
	p.fact("Last sent", "%s", never(c.LastSent))
	for _, f := range c.Faults {
		p.fact("Fault", "%s", clean(f))
	}
	_, err := p.w.Write(nil)
	return err
}

// left is who is left and how long that takes.
func (p *campaignPrinter) left(c *console.Campaign) string {
	switch {
	case c.Left == 0:
		return "nobody"
	case c.ETA == 0:
		return grouped(int(c.Left)) + "; none was settled lately"
	}
	return fmt.Sprintf("%s; at %s done in %s, at %s", grouped(int(c.Left)), perSecond(c.Rate), eta(c), clock(p.now.Unix()+c.ETA))
}

// withID names a message behind a time.
func withID(id string) string {
	if id == "" {
		return ""
	}
	return ", message " + clean(id)
}

// byClass lists what bounced by class, the most first.
func byClass(by map[string]int64) string {
	if len(by) == 0 {
		return ""
	}
	classes := slices.SortedFunc(maps.Keys(by), func(a, b string) int { return cmp.Or(cmp.Compare(by[b], by[a]), strings.Compare(a, b)) })
	for i, class := range classes {
		classes[i] = fmt.Sprintf("%s %s", grouped(int(by[class])), clean(class))
	}
	return ": " + strings.Join(classes, ", ")
}

// never is a time as mailq(1) writes it.
func never(unix int64) string {
	if unix == 0 {
		return "never"
	}
	return clock(unix)
}
