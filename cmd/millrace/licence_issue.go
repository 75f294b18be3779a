package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay/licence"
)

// issueFlags are what a licence says.
type issueFlags struct {
	key, newKey, output string
	licensee, serial    string
	from, until         string
	limits              licence.Limits
	tenants, servers    []string
	installation        string
}

func licenceIssueCommand() *cobra.Command {
	var f issueFlags
	cmd := &cobra.Command{
		Use:   "issue",
		Short: "Make a key, or sign a licence with one",
		Long: `Make a licensor's key, or sign a licence with it. The key is written to a new file that only its owner may read; keep a copy in a
safe place, because a lost key cannot be had again. The public key that --new-key prints goes into allowance.licence_keys of
those to whom licences are given. Give each licence a serial of its own: its total counts by it.`,
		Example: `  millrace licence issue --new-key licensor.pem
  millrace licence issue --key licensor.pem --licensee "Example Ltd" --serial 2026-17 --until 2027-12-31 --month 1000000 -o acme.licence
  millrace licence issue --key licensor.pem --licensee "Example Ltd" --serial 2026-18 --until 2027-12-31 --tenant acme:month=50000`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.newKey != "" {
				return makeKey(cmd, f.newKey)
			}
			return f.issue(cmd)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.newKey, "new-key", "", "make a key, write it to the new `FILE`, and print the public key")
	flags.StringVar(&f.key, "key", "", "`FILE` of the key to sign with")
	flags.StringVarP(&f.output, "output", "o", "", "new `FILE` for the licence; default: the standard output")
	flags.StringVar(&f.licensee, "licensee", "", "`NAME` of whom the licence is for")
	flags.StringVar(&f.serial, "serial", "", "`SERIAL` of the licence, another one each time")
	flags.StringVar(&f.from, "from", "", "first `DATE`, as 2026-11-26, or time as in RFC 3339; default: now")
	flags.StringVar(&f.until, "until", "", "last `DATE`, or the time at which the licence expires")
	flags.Uint64Var(&f.limits.Day, "day", 0, "recipients a day")
	flags.Uint64Var(&f.limits.Month, "month", 0, "recipients a month")
	flags.Uint64Var(&f.limits.Total, "total", 0, "recipients in all, from when the licence is first in force")
	flags.StringArrayVar(&f.tenants, "tenant", nil, "`NAME:day=N,month=N,total=N` of a tenant; may be given several times")
	flags.StringArrayVar(&f.servers, "server", nil, "`HOSTNAME` on which the licence holds; default: any; may be given several times")
	flags.StringVar(&f.installation, "installation", "", "`ID` of the installation for which it holds, as \"licence show\" prints it; default: any")
	return cmd
}

// makeKey makes a key file.
func makeKey(cmd *cobra.Command, path string) error {
	key, err := licence.NewKey()
	if err != nil {
		return err
	}
	if err := key.Create(path); err != nil {
		return fmt.Errorf("no key was made: %w", err)
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), key.Public())
	return err
}

// issue signs a licence.
func (f *issueFlags) issue(cmd *cobra.Command) error {
	if f.key == "" {
		return usageError{fmt.Errorf("name the file of a key with --key, or make one with --new-key")}
	}
	l, err := f.licence(time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return usageError{err}
	}
	key, err := licence.ReadKey(f.key)
	if err != nil {
		return err
	}
	text, err := l.Sign(key)
	if err != nil {
		return usageError{fmt.Errorf("no licence was signed: %w", err)}
	}
	if f.output == "" {
		_, err = cmd.OutOrStdout().Write(text)
		return err
	}
	return writeNew(f.output, text)
}

// licence is what the flags say.
func (f *issueFlags) licence(now time.Time) (l licence.Licence, err error) {
	l = licence.Licence{
		Version: licence.Version, Licensee: f.licensee, Serial: f.serial, Issued: now, NotBefore: now, Limits: f.limits,
		Servers: f.servers, Installation: f.installation,
	}
	if f.from != "" {
		if l.NotBefore, err = moment(f.from, 0); err != nil {
			return l, err
		}
	}
	if l.Expires, err = moment(f.until, 1); err != nil {
		return l, err
	}
	for _, text := range f.tenants {
		t, err := tenantLimits(text)
		if err != nil {
			return l, err
		}
		l.Tenants = append(l.Tenants, t)
	}
	return l, nil
}

// moment reads a time, or a date in the local time zone and adds so many days: the last day counts as a whole.
func moment(text string, days int) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339, text); err == nil {
		return t, nil
	}
	t, err := time.ParseInLocation(time.DateOnly, text, time.Local)
	if err != nil {
		return t, fmt.Errorf("%q is no date; write it like 2026-11-26", text)
	}
	return t.AddDate(0, 0, days).UTC(), nil
}

// tenantLimits reads "acme:day=5,month=100".
func tenantLimits(text string) (t licence.TenantConfig, err error) {
	name, limits, found := strings.Cut(text, ":")
	t.Name = name
	for part := range strings.SplitSeq(limits, ",") {
		key, number, _ := strings.Cut(part, "=")
		n, err := strconv.ParseUint(number, 10, 64)
		to := map[string]*uint64{"day": &t.Day, "month": &t.Month, "total": &t.Total}[key]
		if !found || err != nil || to == nil || n == 0 {
			return t, fmt.Errorf("--tenant %q: write it like acme:day=5000,month=100000", text)
		}
		*to = n
	}
	return t, nil
}

// writeNew writes a file that must not exist yet.
func writeNew(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	if _, err = f.Write(text); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}
