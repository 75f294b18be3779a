package rescue

import (
	"context"
	"slices"
	"strings"

	"github.com/millrace/millrace/cmd/setup"
)

// Selector says which part of a backlog is meant. Without any word it is all of it.
type Selector struct {
	Domains []string // of recipients
	Senders []string // addresses, or domains with all their senders, as "@example.com"; "<>" is mail without a sender
}

// matches reports whether mail of this sender to this recipient is meant.
func (s Selector) matches(sender, rcpt string) bool {
	if sender == "" || sender == nullSender {
		sender = "<>"
	}
	is := func(list []string, addr string) bool {
		return len(list) == 0 || slices.ContainsFunc(list, func(word string) bool {
			return strings.EqualFold(word, addr) || strings.EqualFold(strings.TrimPrefix(word, "@"), domain(addr))
		})
	}
	return is(s.Domains, rcpt) && is(s.Senders, sender)
}

// Plan is what a rescue would do with a backlog.
type Plan struct {
	Messages   int     `json:"messages"`   // deferred
	Recipients int     `json:"recipients"` // of them
	Others     int     `json:"others"`     // messages in Postfix's other queues, which a rescue leaves alone
	Sites      []Site  `json:"sites"`      // of the deferred messages
	Carried    int     `json:"carried"`    // recipients whose mail would be carried
	Addresses  int     `json:"addresses"`  // how many different ones these are
	Staying    []Tally `json:"staying"`    // why the others stay

	addresses []string          // in lower case, in order
	rcpts     map[carried]int64 // what is carried, with the time of its arrival
	ids       []string          // the messages of rcpts
}

// carried is one recipient of one message.
type carried struct{ id, rcpt string }

// MaxAddresses bounds the table that a rescue adds to Postfix: each of its rewriting processes holds the table in memory. What is beyond
// stays, for a second rescue.
const MaxAddresses = 200_000

// Why a recipient's mail stays, where Postfix's settings do not say it.
const (
	notMeant  = "it is not meant by --domain or --sender"
	tooLarge  = "the message is larger than bulk.size_limit"
	sharesWay = "other mail to the same recipient goes by a route of its own"
	tooMany   = "it is for another run: a rescue carries mail for so many recipients only"
)

// plan decides about each recipient. staying is the answer of setup.Staying about the pairs of the backlog; most is how many addresses the
// table may have.
func plan(backlog []*Message, others int, s Selector, sizeLimit int64, most int, staying []string) *Plan {
	p := &Plan{Messages: len(backlog), Others: others, Sites: sites(backlog), rcpts: make(map[carried]int64)}
	routed, wanted := waysOf(backlog, s, sizeLimit, staying)
	stays := make(map[string]int)
	known := make(map[string]bool)
	i := 0
	for _, m := range backlog {
		some := false
		for _, r := range m.Rcpts {
			addr := strings.ToLower(r.Address)
			why := staying[i]
			i++
			switch {
			case why != "":
			case routed[addr]:
				why = sharesWay
			case m.Size > sizeLimit:
				why = tooLarge
			case !wanted[addr]:
				why = notMeant
			case !known[addr] && len(known) >= most:
				why = tooMany
			default:
				known[addr], some = true, true
				p.rcpts[carried{m.ID, addr}] = m.Arrived
				p.Carried++
			}
			if p.Recipients++; why != "" {
				stays[why]++
			}
		}
		if some {
			p.ids = append(p.ids, m.ID)
		}
	}
	p.addresses = sortedKeys(known)
	p.Addresses, p.Staying = len(known), tallies(stays, len(stays))
	return p
}

// waysOf says which addresses have mail that Postfix sends by a route of its own, and which have mail that is meant. An address has one
// line in the table, so all its mail goes one way.
func waysOf(backlog []*Message, s Selector, sizeLimit int64, staying []string) (routed, wanted map[string]bool) {
	routed, wanted = make(map[string]bool), make(map[string]bool)
	i := 0
	for _, m := range backlog {
		for _, r := range m.Rcpts {
			addr := strings.ToLower(r.Address)
			if staying[i] != "" {
				routed[addr] = true
			} else if m.Size <= sizeLimit && s.matches(m.Sender, addr) {
				wanted[addr] = true
			}
			i++
		}
	}
	return routed, wanted
}

// Plan reads the backlog and decides about it. It changes nothing.
func (r *Rescue) Plan(ctx context.Context) (*Plan, error) {
	var backlog []*Message
	var pairs []setup.Pair
	others := 0
	err := r.postfix.queue(ctx, func(m *Message) {
		if m.Queue != deferred {
			others++
			return
		}
		backlog = append(backlog, m)
		for _, rcpt := range m.Rcpts {
			pairs = append(pairs, setup.Pair{Sender: m.Sender, Rcpt: rcpt.Address})
		}
	})
	if err != nil {
		return nil, err
	}
	staying, err := setup.Staying(ctx, setup.Subject{MTA: r.mta, Config: r.cfg.Config}, r.postfix.look, pairs)
	if err != nil {
		return nil, err
	}
	return plan(backlog, others, r.cfg.Selector, r.cfg.Config.Bulk.SizeLimit, MaxAddresses, staying), nil
}

// table is the text of the table that leads the carried addresses to the door.
func (p *Plan) table(hop string) []byte {
	var b strings.Builder
	b.WriteString("# Made by \"millrace rescue\", and taken away at its end.\n")
	for _, addr := range p.addresses {
		b.WriteString(addr + " " + service + ":" + hop + "\n")
	}
	return []byte(b.String())
}
