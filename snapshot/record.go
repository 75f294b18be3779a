package snapshot

import (
	"bytes"
	"strings"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// takeOf is the record of m, without its place in a segment. The record shares m's strings and bytes. It is a value, so
// that a take costs no allocation for it, and its recipients are put into buf.
func takeOf(m *relay.Message, nodes []uint32, buf []format.Rcpt) format.TakeRecord {
	t := format.TakeRecord{
		Stand: format.Stand{ID: uint64(m.ID)}, EightBit: m.Content.Facts()&relay.EightBitFacts != 0, Form: uint64(m.Content.Facts()), UTF8: m.UTF8(), Urgent: m.Flow().Urgent,
		BySender: m.Flow().Sender != "" && m.Flow().Sender == senderOf(m.From()), Arrived: m.Arrived(), Taken: m.Taken(), QueueID: m.QueueID(),
		Common: format.Common{
			From: m.From(), Ret: m.Ret(), EnvID: m.EnvID(), Class: m.Class(), Rule: m.Rule(), Tenant: m.Flow().Tenant, Campaign: m.Flow().Name,
			Client: m.Client(), Notify: m.Rcpt(0).Notify,
		},
		Part: m.Content.Part(), Nodes: nodes,
	}
	t.Rcpts = buf[:0]
	for _, r := range m.Rcpts {
		t.Rcpts = append(t.Rcpts, format.Rcpt(r))
	}
	return t
}

// slip is room for the Slip of a message that is restored, with one recipient.
type slip struct {
	relay.Slip
	rcpt [1]relay.Rcpt
}

// messageOf is the message that a record holds, without its content. Its Slip is in room.
func messageOf(t *format.TakeRecord, room *slip) *relay.Message {
	rcpts := room.rcpt[:0]
	for _, r := range t.Rcpts {
		rcpts = append(rcpts, relay.Rcpt(r))
	}
	room.Slip = relay.Slip{
		QueueID:  t.QueueID,
		Envelope: relay.Envelope{From: t.From, Ret: t.Ret, EnvID: t.EnvID, UTF8: t.UTF8, Rcpts: rcpts},
		Class:    t.Class, Flow: relay.FlowName{Tenant: t.Tenant, Name: t.Campaign, Urgent: t.Urgent},
		Rule: t.Rule, Client: t.Client, Arrived: t.Arrived, Taken: t.Taken,
	}
	if t.BySender {
		room.Flow.Sender = senderOf(t.From)
	}
	return &relay.Message{ID: relay.ID(t.ID), Slip: &room.Slip}
}

// contentOf is the content that a record and its shared record make.
func contentOf(t *format.TakeRecord, w *relay.Wrapper, old bool) relay.Content {
	facts := relay.Facts(t.Form)
	if t.EightBit {
		facts |= relay.EightBitFacts
	}
	if old {
		return w.Behind(t.Part, facts)
	}
	return w.Content(bytes.Clone(t.Part), facts)
}

// senderOf is the Sender of the flow of mail from an address: its domain in lower case.
func senderOf(from string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, relay.Domain(from))
}

// nodesOf lists the node of each recipient of m, or nil when they are all of one node, as in most bulk mail. The journal keeps
// the numbers because a recovery must divide the recipients in the same way, and the rule for it may have changed by then.
func nodesOf(m *relay.Message) []uint32 {
	if m.NodeCount() < 2 {
		return nil
	}
	of := make([]uint32, m.RcptCount())
	for i, n := range m.Nodes {
		for _, r := range n.Rcpts() {
			of[r] = uint32(i)
		}
	}
	return of
}

// nodeOf names n as the journal does: by message and number, since a node has no id of its own.
func nodeOf(n *relay.Node) format.Node {
	return format.Node{ID: uint64(n.Message.ID), Index: uint32(n.Index)}
}

// waitOf is what n has learned, with its reason cut to what is kept.
func waitOf(n *relay.Node) format.Wait {
	w := format.Wait{Visits: int(n.Visits), Class: n.Class(), Reason: n.Reason()[:min(len(n.Reason()), format.MaxReason)]}
	if !n.Due().IsZero() {
		w.Due = n.Due().UnixNano()
	}
	return w
}
