package snapshot

import (
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
)

// takeOf is the record of m, without its place in a segment. The record shares m's strings and bytes. It is a value, so
// that a take costs no allocation for it, and its recipients are put into buf.
func takeOf(m *relay.Message, nodeOf []uint32, buf []format.Rcpt) format.TakeRecord {
	t := format.TakeRecord{
		ID: uint64(m.ID), EightBit: m.Content.Facts()&relay.EightBitFacts != 0, UTF8: m.UTF8, Arrived: m.Arrived, Taken: m.Taken, QueueID: m.QueueID,
		From: m.From, Ret: m.Ret, EnvID: m.EnvID, Class: m.Class, Rule: m.Rule, Tenant: m.Flow.Tenant, Client: m.Client,
		Nodes: nodeOf, Header: m.Content.Head(),
	}
	t.Rcpts = buf[:0]
	for _, r := range m.Rcpts {
		t.Rcpts = append(t.Rcpts, format.Rcpt(r))
	}
	return t
}

// messageOf is the message that a record holds, without its shared part, which has a record of its own.
func messageOf(t *format.TakeRecord) *relay.Message {
	m := &relay.Message{
		ID: relay.ID(t.ID), QueueID: t.QueueID,
		Content:  relay.NewContent(relay.Letter{Trace: t.Trace, Header: t.Header}),
		Envelope: relay.Envelope{From: t.From, Ret: t.Ret, EnvID: t.EnvID, UTF8: t.UTF8, Rcpts: make([]relay.Rcpt, len(t.Rcpts))},
		Class:    t.Class, Flow: relay.FlowName{Tenant: t.Tenant}, Rule: t.Rule, Client: t.Client, Arrived: t.Arrived, Taken: t.Taken,
	}
	for i, r := range t.Rcpts {
		m.Rcpts[i] = relay.Rcpt(r)
	}
	return m
}

// nodesOf lists the node of each recipient of m, or nil when they are all of one node, as in most bulk mail. The journal keeps
// the numbers because a recovery must divide the recipients in the same way, and the rule for it may have changed by then.
func nodesOf(m *relay.Message) []uint32 {
	if len(m.Nodes) < 2 {
		return nil
	}
	of := make([]uint32, len(m.Rcpts))
	for i, n := range m.Nodes {
		for _, r := range n.Rcpts {
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
	w := format.Wait{Visits: n.Visits, Class: n.Class, Reason: n.Reason[:min(len(n.Reason), format.MaxReason)]}
	if !n.Due.IsZero() {
		w.Due = n.Due.UnixNano()
	}
	return w
}
