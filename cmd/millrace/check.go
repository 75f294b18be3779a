package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/setup"
)

// checkCommand starts nothing and needs no permission but to read the files, so that a script can run it before a reload.
func checkCommand() *cobra.Command {
	var file configFlag
	var beside mtaFlags
	var form int
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Check a configuration file, and the MTA beside Millrace",
		Long: `Check a configuration file and print each mistake with its file, line and key. The exit status is 0 if there is no
mistake and 78 otherwise. A warning, for instance about a source address that this host does not have, is printed too and
does not change the exit status. Nothing is started and nothing is changed.

With --mta the configuration of Postfix or Sendmail on this host is read too, and held against the file: what Millrace would
bypass because a milter is not told of it, what stands in its way, and whether bounce.inject answers. Each finding has a
severity (error, warning or note), a code that stays the same, what would happen, and the repair. The exit status is 1 if one
of them is an error. Run it as root: tables that cannot be read are only named.`,
		Example: `  millrace check -c millrace.toml && systemctl reload millrace
  millrace check --mta
  millrace check --mta --json | jq -r 'select(.severity != "note") | .code'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := takesOver(form); err != nil {
				return err
			}
			if !beside.mta && (beside.json || beside.dir != "") {
				return usageError{errors.New("--json and --mta-dir need --mta")}
			}
			warnings, err := config.Check(file.path())
			if err != nil {
				return err
			}
			// Warnings go to the standard error: the standard output of a script that expects OK stays the same.
			for _, w := range warnings {
				fmt.Fprintln(cmd.ErrOrStderr(), "warning:", w)
			}
			if !beside.json {
				fmt.Fprintf(cmd.OutOrStdout(), "%s: OK\n", file.path())
			}
			if !beside.mta {
				return nil
			}
			return beside.check(cmd.Context(), cmd.OutOrStdout(), file.path())
		},
	}
	file.addTo(cmd)
	beside.addTo(cmd)
	addTakesOver(cmd, &form)
	return cmd
}

// mtaFlags are the flags of the check of the MTA.
type mtaFlags struct {
	mta, json bool
	dir       string
}

func (f *mtaFlags) addTo(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.mta, "mta", false, "check the Postfix or Sendmail of this host too")
	cmd.Flags().StringVar(&f.dir, "mta-dir", "", "`DIR` of main.cf or sendmail.cf; else /etc/postfix, else /etc/mail")
	addJSON(cmd, &f.json)
}

// injectPatience bounds the try of bounce.inject: a person waits for it.
const injectPatience = 10 * time.Second

// errMTA is returned when the check of the MTA has found an error. The finding is printed already.
var errMTA = errors.New("the MTA and Millrace do not fit together: see the errors above")

// check reads the MTA, tries bounce.inject, and prints what is found.
func (f *mtaFlags) check(ctx context.Context, w io.Writer, path string) error {
	cfg, err := config.Load(path)
	if err != nil {
		return err
	}
	mta, err := setup.Read(ctx, f.dir)
	if err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, injectPatience)
	defer cancel()
	_, refusal := cfg.Bounce.Try(patient, cfg.Wire())
	found, err := setup.Examine(setup.Subject{MTA: mta, Config: cfg, Inject: refusal})
	if err != nil {
		return err
	}
	if f.json {
		err = encodeFindings(w, found)
	} else {
		err = printFindings(w, mta, cfg.Mode, found)
	}
	if err == nil && len(found) > 0 && found[0].Severity == setup.Error { // the severest stands first
		err = errMTA
	}
	return err
}

func encodeFindings(w io.Writer, found []setup.Finding) error {
	write := encoder[setup.Finding](w)
	for i := range found {
		if err := write(&found[i]); err != nil {
			return err
		}
	}
	return nil
}

// printFindings writes the findings for people: what, where, what would happen, what helps. The severest stands first, the
// sum last, next to the prompt.
func printFindings(w io.Writer, mta *setup.MTA, mode string, found []setup.Finding) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s in %s, Millrace in mode %s\n", clean(mta.Name), clean(mta.Dir), mode)
	counts := make(map[setup.Severity]int)
	for _, f := range found {
		counts[f.Severity]++
		fmt.Fprintf(&b, "\n%s %s\n", f.Severity, f.Code)
		for _, p := range f.Places {
			fmt.Fprintf(&b, "    %s\n", clean(placeLine(p)))
		}
		fmt.Fprintf(&b, "  %s\n  Repair: %s\n", f.Text, f.Action)
	}
	fmt.Fprintf(&b, "\nerrors %d, warnings %d, notes %d\n", counts[setup.Error], counts[setup.Warning], counts[setup.Note])
	_, err := io.WriteString(w, b.String())
	return err
}

func placeLine(p setup.Place) string {
	line := p.Setting + " = " + p.Value
	if p.Detail != "" {
		line += " (" + p.Detail + ")"
	}
	return line
}
