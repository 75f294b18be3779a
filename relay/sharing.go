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
	top := NewTop(most, func(a, b Sharing) int { return cmp.Or(cmp.Compare(b.Whole, a.Whole), cmp.Compare(a.Flow, b.Flow)) })
	var rest Sharing
	for some := range slices.Chunk(append(m.flows.all(), nil, m.flows.own), mostAtOnce) {
		for _, row := range m.sharingOf(some) {
			rest.add(&row.WrapperSize, 1)
			top.Add(row)
		}
	}
	rows := top.List()
	for i := range rows {
		rest.add(&rows[i].WrapperSize, -1)
	}
	if rest.Messages > 0 {
		rows = append(rows, rest)
	}
	return rows
}

// sharingOf is a row for each of the flows that has messages. Doors divide nothing meanwhile.
func (m *QueueMap) sharingOf(flows []*Flow) (rows []Sharing) {
	m.wrappers.mu.Lock()
	defer m.wrappers.mu.Unlock()
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
	return rows
}

// add adds another size, or with -1 takes it away.
func (s *WrapperSize) add(o *WrapperSize, sign int64) {
	s.Wrappers += sign * o.Wrappers
	s.Messages += sign * o.Messages
	s.Whole += sign * o.Whole
	s.Shared += sign * o.Shared
	s.Personal += sign * o.Personal
}
