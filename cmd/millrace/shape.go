package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// shapedBy is the words of --by.
var shapedBy = []string{console.BySite, console.ByDomain, console.BySender}

func queueShapeCommand() *cobra.Command {
	var flags clientFlags
	var by string
	var most int
	cmd := &cobra.Command{
		Use:   "shape",
		Short: "Show how long the mail of each site, domain or sender has waited, as qshape does",
		Long: fmt.Sprintf(`Show the recipients that wait, by age and by the site or domain they belong to or by the domain of the sender, in the layout of
qshape(1): those with the most first, %d rows at most unless --most says another number, and one row of all others. The head of a
column is the age in minutes that its mail has not passed. Fresh mail stands on the left; a row whose numbers stand on the right is
a receiver that takes nothing. The site "?" has mail whose site is not known yet, and "inject" has mail for our own MTA.`, console.MaxShape),
		Example: "  millrace queue shape\n  millrace queue shape --by domain --most 20",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(shapedBy, by) {
				return usageError{fmt.Errorf("--by %s: it is one of %s", relay.ShellWord(clean(by)), strings.Join(shapedBy, ", "))}
			}
			if most < 1 {
				return usageError{errors.New("--most must be 1 or more")}
			}
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			if s, err := c.Status(cmd.Context()); err == nil && s.Journal.Recovering != nil {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s: these numbers are not complete\n", s.Journal.Recovering)
			}
			var rows []relay.ShapeRow
			for row, err := range c.Shape(cmd.Context(), by, most) {
				if err != nil {
					return err
				}
				rows = append(rows, row)
			}
			return printShape(cmd.OutOrStdout(), rows, flags.json)
		},
	}
	cmd.Flags().StringVar(&by, "by", console.BySite, "`WORD`: site, domain or sender")
	_ = cmd.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(shapedBy, cobra.ShellCompDirectiveNoFileComp))
	cmd.Flags().IntVar(&most, "most", console.MaxShape, "at most so many rows, the `NUMBER`")
	flags.addTo(cmd)
	return cmd
}

// others is the name of the row of all that have none of their own.
const others = "(others)"

// printShape writes the rows below the heads of the columns and the sums.
func printShape(w io.Writer, rows []relay.ShapeRow, asJSON bool) error {
	out := bufio.NewWriter(w)
	if asJSON {
		enc := json.NewEncoder(out)
		for i := range rows {
			if err := enc.Encode(&rows[i]); err != nil {
				return err
			}
		}
		return out.Flush()
	}
	all := relay.ShapeRow{Name: "TOTAL"}
	width := len("mx.receiver.example:25")
	for i := range rows {
		rows[i].Name = cmp.Or(clean(rows[i].Name), others)
		width = max(width, utf8.RuneCountInString(rows[i].Name))
		all.Total += rows[i].Total
		for j, n := range rows[i].Ages {
			all.Ages[j] += n
		}
	}
	fmt.Fprintf(out, "%*s %7s", width, "", "T")
	for _, age := range relay.ShapeAges {
		fmt.Fprintf(out, " %7d", age)
	}
	fmt.Fprintf(out, " %6d+\n", relay.ShapeAges[len(relay.ShapeAges)-1])
	for _, row := range append([]relay.ShapeRow{all}, rows...) {
		fmt.Fprintf(out, "%*s %7d", width, row.Name, row.Total)
		for _, n := range row.Ages {
			fmt.Fprintf(out, " %7d", n)
		}
		out.WriteByte('\n')
	}
	return out.Flush()
}
