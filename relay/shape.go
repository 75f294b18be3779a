package relay

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// ShapeAges are the ages, in minutes, up to which the columns of a ShapeRow but the last reach: those of Postfix's qshape.
var ShapeAges = [...]int{5, 10, 20, 40, 80, 160, 320, 640, 1280}

// ShapeRow counts recipients that wait by their age.
type ShapeRow struct {
	Name  string                  `json:"name"` // of the domain, site or sender's domain; "" for all that have no row of their own
	Total int                     `json:"total"`
	Ages  [len(ShapeAges) + 1]int `json:"ages"` // by ShapeAges; the last: older
}

// include counts n recipients of the given age.
func (r *ShapeRow) include(n int, age time.Duration) {
	i := 0
	for i < len(ShapeAges) && age > time.Duration(ShapeAges[i])*time.Minute {
		i++
	}
	r.Ages[i] += n
	r.Total += n
}

// plus adds another row.
func (r *ShapeRow) plus(o *ShapeRow) {
	r.Total += o.Total
	for i, n := range o.Ages {
		r.Ages[i] += n
	}
}

// Shape counts the recipients that wait by age and by "domain", "site" or "sender" (the sender's domain): a row for each of the most
// names that have the most, the most first, and one without a name for all others together. Mail whose site is not known yet counts
// as the site "?", mail for our own MTA as "inject", the null sender as "<>". Another word is an *ActError.
func (l *Lever) Shape(by string, most int) ([]ShapeRow, error) {
	site := remember(func(domain string) string { return cmp.Or(l.site(domain), "?") })
	var name func(n *Node, class string) string
	switch by {
	case "domain":
		name = func(n *Node, _ string) string { return n.Domain }
	case "site":
		name = func(n *Node, class string) string {
			if class == ClassInject && !l.queues.deps.NoMTA {
				return ClassInject
			}
			return site(n.Domain)
		}
	case "sender":
		name = func(n *Node, _ string) string { return cmp.Or(strings.ToLower(Domain(n.Message.From())), "<>") }
	default:
		return nil, &ActError{"by", `"` + by + `" is none of "domain", "site" and "sender"`}
	}
	return largest(l.shapes(name), most), nil
}

// shapes counts by name.
func (l *Lever) shapes(name func(n *Node, class string) string) map[string]*ShapeRow {
	rows, now := make(map[string]*ShapeRow), time.Now()
	l.queues.walk(func(some []*Message) bool {
		for _, msg := range some {
			for _, n := range msg.Nodes {
				open, class := l.open(n)
				if open == 0 {
					continue
				}
				key := name(n, class)
				if rows[key] == nil {
					rows[key] = &ShapeRow{Name: key}
				}
				rows[key].include(open, now.Sub(msg.Arrived()))
			}
		}
		return true
	})
	return rows
}

// open is how many recipients of n are not settled, and its class.
func (l *Lever) open(n *Node) (rcpts int, class string) {
	s := l.queues.shard(n.Domain)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n.state == stateGone {
		return 0, n.Class()
	}
	return len(n.Rcpts()) + len(n.later()), n.Class()
}

// largest keeps the rows with the most, and sums up the rest.
func largest(rows map[string]*ShapeRow, most int) []ShapeRow {
	all := make([]ShapeRow, 0, len(rows))
	for _, r := range rows {
		all = append(all, *r)
	}
	slices.SortFunc(all, func(a, b ShapeRow) int { return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Name, b.Name)) })
	if len(all) <= most {
		return all
	}
	var rest ShapeRow
	for i := range all[most:] {
		rest.plus(&all[most+i])
	}
	return append(all[:most], rest)
}
