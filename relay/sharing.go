package relay

import (
	"cmp"
	"slices"
)

// Sharing is how much of one flow's mail is held once.
type Sharing struct {
	FlowListing
	Sender string `json:"sender,omitempty"` // domain of the envelope sender
	WrapperSize
}

// notices is the flow of our own notifications in lists.
const notices = "(notifications)"

// Sharing lists the flows that have messages, those with the most bytes first: so many rows at most, and one without a name for all
// others together.
func (m *QueueMap) Sharing(most int) []Sharing {
	flows := append(m.flows.all(), nil, m.flows.own)
	rows := make([]Sharing, 0, len(flows))
	m.wrappers.mu.Lock()
	for _, f := range flows {
		size := m.references(f).size
		if size.Messages == 0 {
			continue
		}
		row := Sharing{FlowListing: f.Name().listing(), Sender: f.Name().Sender, WrapperSize: size}
		if f == m.flows.own {
			row.Flow = notices
		}
		rows = append(rows, row)
	}
	m.wrappers.mu.Unlock()
	slices.SortFunc(rows, func(a, b Sharing) int { return cmp.Or(cmp.Compare(b.Whole, a.Whole), cmp.Compare(a.Flow, b.Flow)) })
	if len(rows) <= most {
		return rows
	}
	var rest Sharing
	for i := range rows[most:] {
		rest.plus(&rows[most+i].WrapperSize)
	}
	return append(rows[:most], rest)
}

// plus adds another size.
func (s *WrapperSize) plus(o *WrapperSize) {
	s.Wrappers += o.Wrappers
	s.Messages += o.Messages
	s.Whole += o.Whole
	s.Shared += o.Shared
	s.Personal += o.Personal
}
