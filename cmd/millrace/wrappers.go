package main

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func wrappersCommand() *cobra.Command {
	var flags clientFlags
	var most int
	cmd := &cobra.Command{
		Use:   "wrappers",
		Short: "Show how much of each campaign's mail is held once",
		Long: fmt.Sprintf(`Show, for each campaign, list or sender that has mail here, how many wrappers hold what its messages have in common, how many
messages there are, how large they are, what of that is held once, and what each message has of its own. Those with the most bytes
come first, %d at most unless --most says another number; one row has all others. A message that is like no other is a wrapper of
its own. "millrace explain" shows the same for two files.`, console.MaxWrappers),
		Example: "  millrace wrappers\n  millrace wrappers --json | jq 'select(.personal > .bytes / 10)'",
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
			p := sharingPrinter{newLister(cmd, &flags)}
			return writeAll(&p.lister, c.Wrappers(cmd.Context(), most), p.line, "No mail is here\n")
		},
	}
	cmd.Flags().IntVar(&most, "most", console.MaxWrappers, "at most so many rows, the `NUMBER`")
	flags.addTo(cmd)
	return cmd
}

// sharingPrinter writes how mail is held.
type sharingPrinter struct{ lister }

// line writes one row, below the heads of the columns if it is the first. A name stands last: it has any length.
func (p *sharingPrinter) line(v *relay.Sharing) error {
	if p.count == 0 {
		fmt.Fprintf(p.w, "%9s %11s %11s %11s %11s  %s\n", "WRAPPERS", "MESSAGES", "BYTES", "HELD ONCE", "EACH'S OWN", "CAMPAIGN")
	}
	p.count++
	name := cmp.Or(clean(v.Flow), others)
	if v.Tenant != "" {
		name = clean(v.Tenant) + "/" + name
	}
	_, err := fmt.Fprintf(p.w, "%9s %11s %11s %11s %11s  %s\n", grouped(int(v.Wrappers)), grouped(int(v.Messages)), bytesize(v.Whole), bytesize(v.Shared),
		bytesize(v.Personal/max(v.Messages, 1)), name)
	return err
}
