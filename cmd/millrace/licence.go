package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/licence"
)

func licenceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "licence",
		Short: "See, install, make and hand out licences",
		Long: `A licence is a signed allowance: how many recipients may be sent to. Millrace is free software and needs none; a licence is for
those who agree on numbers with somebody, such as a hosting company with its customers. See contrib/licence.md.`,
		RunE: needsCommand,
	}
	cmd.AddCommand(licenceShowCommand(), licenceInstallCommand(), licenceIssueCommand(), licenceServeCommand())
	return cmd
}

func licenceShowCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "show [FILE]",
		Short: "Show a licence, whether it holds here, and how much of it is used",
		Long: `Show the licence in the state directory, or in FILE, whether it holds on this host, and how much of each limit is used. Without
FILE the daemon is asked for the numbers; it need not run. The exit status is 1 if the licence does not hold, or there is none.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := config.Load(flags.config.path())
			if err != nil {
				return err
			}
			usage := usageOf(cmd.Context(), &flags)
			path := filepath.Join(cfg.StateDir, licence.FileName)
			if len(args) > 0 {
				path = args[0]
			}
			v := view(cfg, path, usage)
			if len(args) == 0 {
				v.Usage = usage
			}
			if flags.json {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(v)
			} else {
				err = v.print(cmd.OutOrStdout())
			}
			return errors.Join(err, v.err)
		},
	}
	flags.addTo(cmd)
	return cmd
}

// usageOf asks the daemon for the allowance; nil when it does not run, or has none.
func usageOf(ctx context.Context, flags *clientFlags) *console.Allowance {
	c, err := flags.client()
	if err != nil {
		return nil
	}
	defer c.Close()
	s, err := c.Status(ctx)
	if err != nil {
		return nil
	}
	return s.Allowance
}

// licenceView is a licence as --json has it.
type licenceView struct {
	File    string             `json:"file"`
	Holds   bool               `json:"holds"`
	Fault   string             `json:"fault,omitempty"` // why it does not
	Licence *licence.Licence   `json:"licence,omitempty"`
	Usage   *console.Allowance `json:"usage,omitempty"`

	err error
}

// view reads and judges a licence.
func view(cfg *config.Config, path string, usage *console.Allowance) *licenceView {
	v := &licenceView{File: path}
	l, _, err := readLicence(cfg, path)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("there is no licence in %s", path)
	}
	if err == nil {
		v.Licence = &l
		err = l.Check(time.Now(), cfg.Hostname, installation(usage, &l))
	}
	if v.Holds, v.err = err == nil, err; err != nil {
		v.Fault = err.Error()
	}
	return v
}

// readLicence reads a licence that a key of the configuration has signed.
func readLicence(cfg *config.Config, path string) (l licence.Licence, text []byte, err error) {
	if text, err = licence.ReadFile(path); err != nil {
		return l, nil, err
	}
	if len(cfg.Allowance.Keys) == 0 {
		return l, nil, fmt.Errorf("%s: allowance.licence_keys names no key in %s, so no licence holds here; write the licensor's public key there", path, cfg.File)
	}
	keys, err := licence.ParseKeys(cfg.Allowance.Keys)
	if err == nil {
		l, err = licence.Open(text, keys)
	}
	if err != nil {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return l, text, err
}

// installation is the id of this installation. Only the daemon knows it: without an answer of the daemon the licence is taken at its word,
// and the daemon judges it when it starts.
func installation(usage *console.Allowance, l *licence.Licence) string {
	if usage == nil {
		return l.Installation
	}
	return usage.Installation
}

// print writes the licence for people, then what is used.
func (v *licenceView) print(w io.Writer) error {
	var b strings.Builder
	if l := v.Licence; l != nil {
		fmt.Fprintf(&b, "licence  %s of %s, issued %s\n", clean(l.Serial), clean(l.Licensee), l.Issued.Format(time.DateOnly))
		fmt.Fprintf(&b, "holds    %t: from %s to %s\n", v.Holds, l.NotBefore.Format(time.RFC3339), l.Expires.Format(time.RFC3339))
		fmt.Fprintf(&b, "allows   %s\n", limitsText(l.Limits, l.Ceiling))
		for _, t := range l.Tenants {
			fmt.Fprintf(&b, "         tenant %s %s\n", clean(t.Name), limitsText(t.Limits, 0))
		}
		if len(l.Servers) > 0 {
			fmt.Fprintf(&b, "servers  %s\n", clean(strings.Join(l.Servers, ", ")))
		}
	}
	if v.Usage != nil {
		fmt.Fprintf(&b, "id       %s\n", clean(v.Usage.Installation))
		printAllowance(&b, v.Usage)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// limitsText is limits in words.
func limitsText(l licence.Limits, ceiling uint64) string {
	var all []string
	for _, f := range []struct {
		n    uint64
		text string
	}{{l.Day, "a day"}, {l.Month, "a month"}, {l.Total, "in all"}, {ceiling, "on the counter"}} {
		if f.n > 0 {
			all = append(all, grouped(int(f.n))+" "+f.text)
		}
	}
	return cmp.Or(strings.Join(all, ", "), "any number") + " (recipients)"
}

// printAllowance writes one line for each limit, a few of them, and what is wrong with licence and server. Without an allowance it writes
// nothing.
func printAllowance(b *strings.Builder, a *console.Allowance) {
	if a == nil {
		return
	}
	const few = 6
	for _, u := range a.Usage[:min(few, len(a.Usage))] {
		fmt.Fprintf(b, "allowed  %s\n", usageText(u))
	}
	if more := a.Limits - few; more > 0 {
		fmt.Fprintf(b, "allowed  %d more limits; --json lists %d\n", more, console.MaxUsage)
	}
	if l := a.Licence; l != nil {
		fmt.Fprintf(b, "licence  %s of %s is %s; it expires %s, and is in force until %s\n", clean(l.Serial), clean(l.Licensee), l.State, clock(l.Expires), clock(l.Until))
	}
	if s := a.Server; s != nil {
		held := "no slice is held"
		if s.Slice != "" {
			held = clean(s.Slice) + " is held until " + clock(s.Expires)
		}
		fmt.Fprintf(b, "licence  server %s: %s\n", clean(s.URL), clean(strings.TrimSuffix(held+"; "+s.Error, "; ")))
	}
	if a.Error != "" {
		fmt.Fprintf(b, "allowed  the count cannot be made durable, and the limits of before hold on: %s\n", clean(a.Error))
	}
}

// usageText is one limit and how much of it is used.
func usageText(u console.Usage) string {
	text := fmt.Sprintf("%s of %s (%s)", grouped(int(u.Used)), grouped(int(u.Limit)), u.Span)
	if u.Tenant != "" {
		text = "tenant " + clean(u.Tenant) + ": " + text
	}
	if u.Left > 0 {
		text += fmt.Sprintf(", %s on their way", grouped(int(u.Left)))
	}
	if u.By != "allowance" {
		text += ", by " + clean(u.By)
	}
	if u.Resets > 0 {
		text += ", until " + clock(u.Resets)
	}
	return text
}
