package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

func statusCommand() *cobra.Command {
	var flags clientFlags
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the work of the daemon, in a few lines",
		Long: `Show the work of the daemon: doors, queues, finished mail, connections, receivers whose TLS failed and who get mail in
clear for a while, source addresses, DNS and journal; then the obstacles that hold up more than one queue, such as a tenant that is
at its limit, and the pauses, holds and drain that an admin has ordered. Numbers count from the start of the daemon, unless they are
of this moment. The exit status is 69 if the daemon is not reachable.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := flags.client()
			if err != nil {
				return err
			}
			defer c.Close()
			s, err := c.Status(cmd.Context())
			if err != nil {
				return err
			}
			if flags.json {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(s)
			}
			return printStatus(cmd.OutOrStdout(), &s)
		},
	}
	flags.addTo(cmd)
	return cmd
}

// printStatus writes the lines for people, from the way in to the disk. Obstacles come last, next to the prompt. The order
// is always the same, so that two screens can be compared. Scripts have --json.
func printStatus(w io.Writer, s *console.Status) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s on %s, mode %s, up %s, pid %d\n", s.Version, s.Hostname, s.Mode, time.Duration(s.Uptime)*time.Second, s.PID)
	for i := range s.Doors {
		printDoor(&b, &s.Doors[i])
	}
	printGate(&b, &s.Gate)
	fmt.Fprintf(&b, "queued   %d messages, %s, in %d queues; of their nodes %d active, %d busy, %d held up, %d deferred\n",
		s.Messages, bytesize(s.Bytes), s.Queues, s.Active, s.Busy, s.Held, s.Deferred)
	fmt.Fprintf(&b, "done     %d sent, %d bounced, %d expired, %d handed back, %d deleted; %d deferrals\n",
		s.Sent, s.Bounced, s.Expired, s.HandedBack, s.Deleted, s.Deferrals)
	fmt.Fprintf(&b, "since    start: %d messages taken, %d restored, %d removed; %d deliveries may have been made twice\n",
		s.Taken, s.Restored, s.Removed, s.MaybeTwice)
	if t := &s.Totals; t.First > 0 {
		fmt.Fprintf(&b, "in all   since %s: %d messages taken, %d sent, %d bounced, %d left; the last was taken %s and sent %s\n",
			clock(t.First), t.Messages, t.Sent, t.Bounced, t.Left, never(t.LastTaken), never(t.LastSent))
	}
	if s.Notices+s.NoticesSent+s.NoticesLost > 0 {
		fmt.Fprintf(&b, "notices  %d of our own made, not counted above; %d taken by the MTA, %d lost\n", s.Notices, s.NoticesSent, s.NoticesLost)
	}
	fmt.Fprintf(&b, "pool     %d sites (%d closed for now), %d connections, %d of them busy\n",
		s.Pool.Sites, s.Pool.Closed, s.Pool.Connections, s.Pool.Busy)
	printInClear(&b, &s.Pool)
	printSources(&b, s.Sources)
	printDNS(&b, &s.DNS)
	printJournal(&b, &s.Journal)
	printMemory(&b, &s.Memory)
	printAllowance(&b, s.Allowance)
	printHistory(&b, s.History)
	for _, r := range s.Reasons {
		fmt.Fprintf(&b, "held up  %s\n", clean(r.Reason))
	}
	printOrders(&b, s)
	printEvents(&b, &s.Events)
	_, err := io.WriteString(w, b.String())
	return err
}

// printGate says whether mail is taken, and a few of the sites and tenants whose mail is not.
func printGate(b *strings.Builder, g *console.Gate) {
	fmt.Fprintf(b, "gate     %s", g.State)
	if g.Since > 0 {
		fmt.Fprintf(b, " since %s", clock(g.Since))
	}
	if g.Reason != "" {
		fmt.Fprintf(b, ": %s", clean(g.Reason))
	}
	fmt.Fprintf(b, "; %.0f %% of the room used, %d replies wait", 100*g.Fill, g.Held)
	if left := g.Left + g.LeftSites + g.LeftTenants; left > 0 {
		fmt.Fprintf(b, "; left with the MTA for want of room: %d, at a site %d, of a tenant %d", g.Left, g.LeftSites, g.LeftTenants)
	}
	b.WriteByte('\n')
	const few = 3
	for _, r := range g.Shut[:min(few, len(g.Shut))] {
		fmt.Fprintf(b, "         %s for %s since %s: %s\n", r.State, clean(cmp.Or(r.Site, "tenant "+r.Tenant)), clock(r.Since), clean(r.Reason))
	}
	if more := g.ShutRooms - few; more > 0 {
		fmt.Fprintf(b, "         not open for %d more; --json lists %d\n", more, relay.MaxShut)
	}
}

// printOrders writes what an admin has ordered and may have forgotten.
func printOrders(b *strings.Builder, s *console.Status) {
	if s.Pauses > 0 {
		what := "1 pause or hold"
		if s.Pauses > 1 {
			what = grouped(s.Pauses) + " pauses and holds"
		}
		fmt.Fprintf(b, "orders   %s in force; \"millrace pauses\" lists them\n", what)
	}
	if d := s.Drain; d != nil {
		end := ""
		if d.Until > 0 {
			end = " until " + clock(d.Until)
		}
		fmt.Fprintf(b, "orders   no mail is taken: a drain is in force%s, by %s, with %s left; \"millrace undrain\" ends it\n",
			end, orDash(clean(d.Who)), several(d.Waiting, "message"))
	}
}

// printEvents names the outputs of events that are in trouble.
func printEvents(b *strings.Builder, e *console.EventStream) {
	for _, o := range e.Outputs {
		if o.Error == "" && o.Missed == 0 {
			continue
		}
		fmt.Fprintf(b, "events   %s: %s behind, %s missed", clean(o.Name), grouped(int(o.Behind)), grouped(int(o.Missed)))
		if o.Error != "" {
			fmt.Fprintf(b, "; %s", clean(o.Error))
		}
		b.WriteByte('\n')
	}
}

// printMemory writes nothing for a daemon that told nothing, an older one.
func printMemory(b *strings.Builder, m *console.Memory) {
	if m.Limit == 0 {
		return
	}
	fmt.Fprintf(b, "memory   %s of %s: mail %s, doors %s, notices %s, sites %s\n", bytesize(m.Used), bytesize(m.Limit),
		bytesize(m.Mail), bytesize(m.Doors), bytesize(m.Notices), bytesize(m.Sites))
}

// printInClear names the hosts whose TLS was given up, a few of them.
func printInClear(b *strings.Builder, p *console.PoolStatus) {
	const few = 5
	for _, c := range p.InClear[:min(few, len(p.InClear))] {
		fmt.Fprintf(b, "in clear %s of site %s, %d connections, until %s: %s\n", clean(c.Host), clean(c.Site), c.Connections, clock(c.Until), clean(c.Reason))
	}
	if more := p.ClearHosts - few; more > 0 {
		fmt.Fprintf(b, "in clear %d more hosts; --json lists %d\n", more, console.MaxInClear)
	}
}

// printSources writes nothing without [[source]] tables.
func printSources(b *strings.Builder, all []console.SourceStatus) {
	if len(all) == 0 {
		return
	}
	var names []string
	for i := range all {
		names = append(names, sourceText(&all[i]))
	}
	fmt.Fprintf(b, "sources  %s\n", strings.Join(names, ", "))
}

// sourceText is a source and how it differs from one that sends to everybody as much as it can. Of its plans it names the one that
// leaves the least room.
func sourceText(s *console.SourceStatus) string {
	var notes []string
	if s.Reserved {
		notes = append(notes, "reserved")
	}
	if s.Plans > 0 {
		notes = append(notes, fmt.Sprintf("%d warm-up plans", s.Plans))
	}
	if len(s.Warming) > 0 {
		w := s.Warming[0]
		notes = append(notes, fmt.Sprintf("today %d of %d at %s", w.Spent, w.Plan, cmp.Or(clean(w.Provider), "others")))
	}
	if len(notes) == 0 {
		return clean(s.Name)
	}
	return fmt.Sprintf("%s (%s)", clean(s.Name), strings.Join(notes, "; "))
}

// printDoor writes one door. In observe mode it says how much would be taken, and by which rule: an operator decides by
// this line.
func printDoor(b *strings.Builder, d *console.Door) {
	fmt.Fprintf(b, "%-8s %d sessions; %d messages seen, %d passed, %d taken", clean(d.Name), d.Sessions, d.Seen, d.Passed, d.Taken)
	if d.Dripped > 0 {
		fmt.Fprintf(b, ", %d of them dripped", d.Dripped)
	}
	if d.WouldTake > 0 {
		fmt.Fprintf(b, ", %d would be taken", d.WouldTake)
	}
	for _, part := range []struct {
		n    int64
		text string
	}{{d.Reinjected, "went on to the MTA"}, {d.MTARefused, "refused by the MTA"}, {d.Refused, "refused for want of room"}} {
		if part.n > 0 {
			fmt.Fprintf(b, ", %d %s", part.n, part.text)
		}
	}
	var rules []string
	for i := range d.Rules {
		if r := &d.Rules[i]; r.Taken+r.WouldTake+r.Passed > 0 {
			rules = append(rules, ruleDid(r))
		}
	}
	if len(rules) > 0 {
		fmt.Fprintf(b, " (%s)", strings.Join(rules, ", "))
	}
	b.WriteByte('\n')
	var left []string
	for _, l := range d.Left {
		left = append(left, fmt.Sprintf("%s %d", clean(l.Cause), l.Count))
	}
	if len(left) > 0 {
		fmt.Fprintf(b, "left     to the MTA, by cause: %s\n", strings.Join(left, ", "))
	}
}

// ruleDid is one rule and its counts, each with its verb: a rule may take some messages and pass others.
func ruleDid(r *console.RuleCount) string {
	var did []string
	for _, part := range []struct {
		verb  string
		count int64
	}{{"took", r.Taken}, {"would take", r.WouldTake}, {"passed", r.Passed}} {
		if part.count > 0 {
			did = append(did, fmt.Sprintf("%s %d", part.verb, part.count))
		}
	}
	return clean(r.Name) + " " + strings.Join(did, " and ")
}

// printDNS writes nothing for a daemon that told nothing: an older one, or a newer one with other keys. Zeros would look
// like an outage.
func printDNS(b *strings.Builder, d *console.DNS) {
	if *d == (console.DNS{}) {
		return
	}
	fmt.Fprintf(b, "dns      healthy=%t entries=%d hits=%d misses=%d lookups=%d failures=%d waiting=%d\n",
		d.Healthy, d.Entries, d.Hits, d.Misses, d.Lookups, d.Failures, d.Waiting)
}

// printJournal writes nothing for a daemon that told nothing. Damaged, lost and missing records have lines of their own: an
// operator must not overlook one in a row of numbers.
func printJournal(b *strings.Builder, j *console.Journal) {
	if j.Ack == "" {
		return
	}
	fmt.Fprintf(b, "journal  ack=%s segments=%d messages=%d per_message=%d syncs=%d snapshots=%d\n",
		clean(j.Ack), j.Segments, j.Messages, j.PerMessage, j.Syncs, j.Snapshots)
	if j.Recovering != nil {
		fmt.Fprintf(b, "held up  %s; nothing is taken or sent until it is over\n", j.Recovering)
	}
	r := j.Recovery
	if r == nil {
		return
	}
	fmt.Fprintf(b, "recovery messages=%d recipients=%d done=%d maybe_twice=%d torn=%d clean=%t\n",
		r.Messages, r.Recipients, r.Done, r.MaybeTwice, r.Torn, r.Clean)
	for _, bad := range []struct {
		name   string
		places []string
	}{{"damaged", r.Damaged}, {"lost", r.Lost}, {"missing", r.Missing}} {
		if len(bad.places) > 0 {
			fmt.Fprintf(b, "%-8s %s\n", bad.name, clean(strings.Join(bad.places, "; ")))
		}
	}
}

// bytesize is n in a unit that people read, in powers of 1024.
func bytesize(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/(1<<10), 0
	for value >= 1023.95 && unit < 3 { // %.1f would print it as 1024.0
		value /= 1 << 10
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, "KMGT"[unit])
}
