package main

import (
	"bufio"
	"cmp"
	"encoding/json"
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
			p := campaignPrinter{w: bufio.NewWriter(cmd.OutOrStdout()), json: flags.json, now: time.Now()}
			for row, err := range c.Campaigns(cmd.Context(), tenant, most) {
				if err == nil {
					err = p.line(&row)
				}
				if err != nil {
					return errors.Join(p.w.Flush(), err)
				}
			}
			if p.count == 0 && !p.json {
				p.w.WriteString("No mail was taken yet\n")
			}
			return p.w.Flush()
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
			p := campaignPrinter{w: bufio.NewWriter(cmd.OutOrStdout()), json: flags.json, now: time.Now()}
			for row, err := range c.CampaignsNamed(cmd.Context(), tenant, args[0]) {
				if err == nil {
					err = p.block(&row)
				} else {
					err = fmt.Errorf("%s: %w", clean(args[0]), err)
				}
				if err != nil {
					return errors.Join(p.w.Flush(), err)
				}
			}
			return p.w.Flush()
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "that of the tenant `NAME` alone")
	flags.addTo(cmd)
	return cmd
}

// campaignPrinter writes campaigns while it reads them.
type campaignPrinter struct {
	w     *bufio.Writer
	json  bool
	now   time.Time
	count int // campaigns written
}

// encode writes one object a line. Names keep their < and &: the output is not for a web page.
func (p *campaignPrinter) encode(v any) error {
	enc := json.NewEncoder(p.w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// line writes one row, below the heads of the columns if it is the first. A name stands last: it has any length.
func (p *campaignPrinter) line(c *console.Campaign) error {
	if p.json {
		return p.encode(c)
	}
	if p.count == 0 {
		p.columns("TAKEN", "SENT", "BOUNCED", "DEFERRED", "OTHER", "LEFT", "RATE", "ETA", "LAST", "CAMPAIGN")
	}
	p.count++
	p.columns(grouped(int(c.Recipients)), grouped(int(c.Sent)), grouped(int(c.Bounced)), grouped(int(c.Deferred)),
		grouped(int(c.Expired+c.HandedBack+c.Suppressed+c.Deleted)), grouped(int(c.Left)), perSecond(c.Rate), eta(c), p.ago(max(c.LastTaken, c.LastSent)),
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

// ago is how long ago a time was.
func (p *campaignPrinter) ago(unix int64) string {
	if unix == 0 {
		return "-"
	}
	return roughly(p.now.Sub(time.Unix(unix, 0)))
}

// block writes all that is known of one campaign, one fact a line, with an empty line in front of all but the first.
func (p *campaignPrinter) block(c *console.Campaign) error {
	if p.json {
		return p.encode(c)
	}
	if p.count++; p.count > 1 {
		p.w.WriteByte('\n')
	}
	fact := func(name, format string, args ...any) {
		fmt.Fprintf(p.w, "%-11s "+format+"\n", append([]any{name}, args...)...)
	}
	fact("Campaign", "%s", orDash(clean(c.Name)))
	fact("Tenant", "%s", orDash(clean(c.Tenant)))
	fact("Sender", "%s", orDash(clean(c.Sender)))
	fact("Taken", "%s messages, %s recipients", grouped(int(c.Messages)), grouped(int(c.Recipients)))
	fact("Sent", "%s", grouped(int(c.Sent)))
	fact("Deferred", "%s visits", grouped(int(c.Deferred)))
	fact("Bounced", "%s%s", grouped(int(c.Bounced)), byClass(c.BouncedBy))
	fact("Other", "%s expired, %s handed back, %s suppressed, %s deleted", grouped(int(c.Expired)), grouped(int(c.HandedBack)),
		grouped(int(c.Suppressed)), grouped(int(c.Deleted)))
	fact("Left", "%s", p.left(c))
	fact("First", "%s", never(c.First))
	fact("Last taken", "%s%s", never(c.LastTaken), withID(c.LastMessage))
	fact("Last sent", "%s", never(c.LastSent))
	for _, f := range c.Faults {
		fact("Fault", "%s", clean(f))
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
