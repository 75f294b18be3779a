package main

import (
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
)

// name is a flag whose value may not be empty: a script whose variable is not set would order for all mail what was meant for some.
type name string

// Set implements pflag.Value.
func (n *name) Set(text string) error {
	if text == "" {
		return errors.New("it is empty; give a value, or leave the flag out")
	}
	*n = name(text)
	return nil
}

// String implements pflag.Value.
func (n *name) String() string { return string(*n) }

// Type implements pflag.Value.
func (*name) Type() string { return "string" }

// selectorFlags are the flags of a relay.Selector.
type selectorFlags struct {
	domain, site, sender, tenant, campaign name
	id, class, lane                        name
	older                                  span
}

// addStanding adds the flags for mail that waits or will come.
func (f *selectorFlags) addStanding(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Var(&f.domain, "domain", "mail to this `DOMAIN`")
	fs.Var(&f.site, "site", "mail for this `SITE`: as \"millrace sites\" has it, one of its hosts, or a provider")
	fs.Var(&f.sender, "sender", "mail from this `ADDRESS`, or from a whole domain, as @example.com; <> is mail without a sender")
	fs.Var(&f.tenant, "tenant", "mail of the [[tenant]] of this `NAME`")
	fs.Var(&f.campaign, "campaign", "mail of this campaign or list, by the `NAME` that \"millrace queue show\" has as its flow")
}

// addTo adds all flags.
func (f *selectorFlags) addTo(cmd *cobra.Command) {
	f.addStanding(cmd)
	fs := cmd.Flags()
	fs.Var(&f.id, "id", "the message with this `ID`, the MTA's or Millrace's own")
	fs.Var(&f.class, "class", "mail on this way: `CLASS` is remote, or inject for notifications and mail on its way back to the MTA")
	fs.Var(&f.older, "older", "mail that arrived at least this `TIME` ago, as 90m, 12h or 3d")
	fs.Var(&f.lane, "lane", "mail of this `LANE`: urgent or bulk")
	for flag, words := range map[string][]string{"class": {"remote", "inject"}, "lane": {"urgent", "bulk"}} {
		_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp)) // fails only for an unknown flag
	}
}

// selector is what the flags say.
func (f *selectorFlags) selector() relay.Selector {
	return relay.Selector{
		Domain: string(f.domain), Site: string(f.site), Sender: string(f.sender), Tenant: string(f.tenant), Campaign: string(f.campaign),
		ID: string(f.id), Class: string(f.class), Older: time.Duration(f.older), Lane: string(f.lane),
	}
}

// asFlags writes a selector as a command line has it, for a shell; "all mail" for the one that selects all.
func asFlags(s relay.Selector) string {
	var words []string
	for _, f := range []struct{ flag, value string }{
		{"domain", s.Domain}, {"site", s.Site}, {"sender", s.Sender}, {"tenant", s.Tenant}, {"campaign", s.Campaign}, {"id", s.ID},
		{"class", s.Class}, {"lane", s.Lane},
	} {
		if f.value != "" {
			words = append(words, "--"+f.flag, relay.ShellWord(clean(f.value)))
		}
	}
	if s.Older > 0 {
		words = append(words, "--older", inSpan(s.Older))
	}
	if words == nil {
		return "all mail"
	}
	return strings.Join(words, " ")
}
