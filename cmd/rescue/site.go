package rescue

import (
	"cmp"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Site is the part of a backlog that waits for one receiver: domains for which Postfix has spoken to the same host are one site.
type Site struct {
	Name       string  `json:"site"`       // the domain with the most recipients
	Domains    int     `json:"domains"`    //
	Messages   int     `json:"messages"`   // that have a recipient here
	Recipients int     `json:"recipients"` //
	Oldest     int64   `json:"oldest"`     // Unix seconds: when the oldest message came
	Newest     int64   `json:"newest"`     // Unix seconds: when the newest message came
	Reasons    []Tally `json:"reasons"`    // what the receiver says, the most frequent first
	Senders    []Tally `json:"senders"`    // domains of the senders, likewise
}

// Tally is a text and how many recipients it is about.
type Tally struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// maxTallies is how many reasons and senders a Site has.
const maxTallies = 5

// sites sorts a backlog by receiver, those with the most recipients first.
func sites(backlog []*Message) []Site {
	groups := joined(backlog)
	piles := make(map[string]*pile)
	for _, m := range backlog {
		seen := make(map[*pile]bool, 1)
		for _, r := range m.Rcpts {
			root := groups.root(domain(r.Address))
			p := piles[root]
			if p == nil {
				p = &pile{domains: make(map[string]int), reasons: make(map[string]int), senders: make(map[string]int)}
				piles[root] = p
			}
			p.add(m, r, !seen[p])
			seen[p] = true
		}
	}
	list := make([]Site, 0, len(piles))
	for _, p := range piles {
		list = append(list, p.site())
	}
	slices.SortFunc(list, func(a, b Site) int {
		return cmp.Or(cmp.Compare(b.Recipients, a.Recipients), strings.Compare(a.Name, b.Name))
	})
	return list
}

// pile is what is counted of one site.
type pile struct {
	counts                    Site
	domains, reasons, senders map[string]int
}

func (p *pile) add(m *Message, r Recipient, first bool) {
	c := &p.counts
	if first {
		c.Messages++
	}
	if c.Recipients == 0 || m.Arrived < c.Oldest {
		c.Oldest = m.Arrived
	}
	c.Newest = max(c.Newest, m.Arrived)
	c.Recipients++
	p.domains[domain(r.Address)]++
	p.senders[senderDomain(m.Sender)]++
	text, _ := gist(r.Reason)
	p.reasons[text]++
}

func (p *pile) site() Site {
	s := p.counts
	s.Name, s.Domains = tallies(p.domains, 1)[0].Text, len(p.domains)
	s.Reasons, s.Senders = tallies(p.reasons, maxTallies), tallies(p.senders, maxTallies)
	return s
}

// tallies lists counts, the largest first, so many at most.
func tallies(counts map[string]int, most int) []Tally {
	list := make([]Tally, 0, len(counts))
	for _, text := range slices.Sorted(maps.Keys(counts)) {
		list = append(list, Tally{text, counts[text]})
	}
	slices.SortStableFunc(list, func(a, b Tally) int { return cmp.Compare(b.Count, a.Count) })
	return list[:min(most, len(list))]
}

// senderDomain is what a sender is counted by.
func senderDomain(sender string) string {
	if sender == "" || sender == nullSender {
		return "<>"
	}
	return domain(sender)
}

// groups joins names: each leads to another name of its group, and the root to itself.
type groups map[string]string

// joined puts domains and the hosts that reasons name into groups.
func joined(backlog []*Message) groups {
	g := make(groups)
	for _, m := range backlog {
		for _, r := range m.Rcpts {
			if _, host := gist(r.Reason); host != "" {
				g.join(domain(r.Address), "host "+host)
			}
		}
	}
	return g
}

func (g groups) root(name string) string {
	for {
		up, known := g[name]
		if !known || up == name {
			return name
		}
		if further, known := g[up]; known {
			g[name] = further // so that chains stay short
		}
		name = up
	}
}

func (g groups) join(a, b string) { g[g.root(a)] = g.root(b) }

// spoken finds the host that a reason is about, in the words of Postfix's SMTP client.
var spoken = regexp.MustCompile(`^(?:delivery temporarily suspended: )?(?:host|connect to|(lost connection|conversation) with) ([A-Za-z0-9._-]+)\[[^\]]*\](?::[0-9]+)?(?: said)?:? ?`)

// personal finds what differs from message to message: addresses, identifiers, numbers of many digits.
var personal = regexp.MustCompile(`\S*@\S*|\S*[0-9A-Fa-f]{6,}\S*|\bname=\S+`)

// maxGist is how long a reason is shown, in bytes.
const maxGist = 120

// gist is what a reason says without host and without what differs from message to message, and the host. Reasons with the same gist are
// counted together.
func gist(reason string) (text, host string) {
	if reason == "" {
		return "not tried yet", ""
	}
	if at := spoken.FindStringSubmatchIndex(reason); at != nil {
		host = strings.ToLower(reason[at[4]:at[5]])
		rest := reason[at[1]:]
		if at[2] >= 0 {
			rest = reason[at[2]:at[3]] + " " + rest
		}
		reason = rest
	}
	reason = personal.ReplaceAllString(strings.TrimPrefix(reason, "delivery temporarily suspended: "), "...")
	if len(reason) > maxGist {
		reason = strings.ToValidUTF8(reason[:maxGist], "") + "..."
	}
	return reason, host
}
