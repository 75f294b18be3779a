package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay/console"
)

// shownMinutes is how many minutes are shown unless another number is asked for: an hour.
const shownMinutes = 60

func statsCommand() *cobra.Command {
	var flags clientFlags
	var of console.StatisticsOf
	var minutes, hours int
	cmd := &cobra.Command{
		Use:   "stats",
		Short: "Show how much was taken and sent, by minute or hour",
		Long: fmt.Sprintf(`Show what was taken, sent, bounced and left in each of the last minutes or hours, of all mail or of one site, campaign or tenant.
%d minutes and %d hours are kept, also over a restart. Of sites and campaigns the busiest are sampled. Time in which the daemon did
not run has no row.`, console.MostMinutes, console.MostHours),
		Example: "  millrace stats\n  millrace stats --hours 24 --tenant shop\n  millrace stats --minutes 30 --site mx.example.com --json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			given := cmd.Flags().Changed
			err := spanOf(&of, minutes, hours, given("hours"))
			switch {
			case given("minutes") && given("hours"):
				err = errors.New("--minutes and --hours exclude each other")
			case of.Site != "" && of.Campaign+of.Tenant != "":
				err = errors.New("--site excludes --campaign and --tenant: a site has neither")
			}
			if err != nil {
				return usageError{err}
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			p := statPrinter{newLister(cmd, &flags)}
			return writeAll(&p.lister, c.Statistics(cmd.Context(), of), p.line, "Nothing was sampled in that time\n")
		},
	}
	cmd.Flags().IntVar(&minutes, "minutes", shownMinutes, "the last so many minutes, the `NUMBER`")
	cmd.Flags().IntVar(&hours, "hours", 24, "the last so many hours, the `NUMBER`, in place of minutes")
	cmd.Flags().StringVar(&of.Site, "site", "", "of the `SITE` alone, as \"millrace sites\" calls it")
	cmd.Flags().StringVar(&of.Campaign, "campaign", "", "of the campaign `NAME` alone")
	cmd.Flags().StringVar(&of.Tenant, "tenant", "", "of the tenant `NAME` alone")
	flags.addTo(cmd)
	return cmd
}

// spanOf sets what the flags say of time.
func spanOf(of *console.StatisticsOf, minutes, hours int, byHour bool) error {
	name, most := "minutes", console.MostMinutes
	if of.Hours, of.Last = byHour, minutes; byHour {
		name, most, of.Last = "hours", console.MostHours, hours
	}
	if of.Last < 1 || of.Last > most {
		return fmt.Errorf("--%s must be between 1 and %d", name, most)
	}
	return nil
}

// statPrinter writes minutes or hours.
type statPrinter struct{ lister }

// line writes one row, below the heads of the columns if it is the first.
func (p *statPrinter) line(v *console.Statistic) error {
	if p.count == 0 {
		p.columns("SINCE", "MESSAGES", "SENT", "DEFERRED", "BOUNCED", "OTHER", "PEAK", "LEFT")
	}
	p.count++
	p.columns(clock(v.Time)[:16], grouped(int(v.Messages)), grouped(int(v.Sent)), grouped(int(v.Deferred)), grouped(int(v.Bounced)),
		grouped(int(v.Expired+v.HandedBack+v.Deleted)), perSecond(float64(v.Peak)), grouped(int(v.Left)))
	_, err := p.w.Write(nil)
	return err
}

func (p *statPrinter) columns(since, messages, sent, deferred, bounced, other, peak, left string) {
	fmt.Fprintf(p.w, "%-16s %11s %11s %11s %9s %9s %9s %11s\n", since, messages, sent, deferred, bounced, other, peak, left)
}
