package sink

import "sync/atomic"

// Counts are the counters of a listener.
type Counts struct {
	Connections int64 // accepted in all
	TurnedAway  int64 // of these, the ones that MaxConns did not allow
	Open        int64 // open now, those turned away included
	MaxOpen     int64 // most that were open at one time, since Listen, or the last Change or Reopen
	Messages    int64 // accepted messages
	Deliveries  int64 // accepted recipients of accepted messages
	Bytes       int64 // bytes of accepted messages
	Refused     int64 // recipients or messages answered 5xx
	Deferred    int64 // recipients, messages or connections answered 4xx
	Faults      int64 // faults played
}

func (c Counts) plus(o Counts) Counts {
	return Counts{
		Connections: c.Connections + o.Connections,
		TurnedAway:  c.TurnedAway + o.TurnedAway,
		Open:        c.Open + o.Open,
		MaxOpen:     c.MaxOpen + o.MaxOpen,
		Messages:    c.Messages + o.Messages,
		Deliveries:  c.Deliveries + o.Deliveries,
		Bytes:       c.Bytes + o.Bytes,
		Refused:     c.Refused + o.Refused,
		Deferred:    c.Deferred + o.Deferred,
		Faults:      c.Faults + o.Faults,
	}
}

// counters is the live form of Counts.
type counters struct {
	connections, turnedAway     atomic.Int64
	open, maxOpen               atomic.Int64
	messages, deliveries, bytes atomic.Int64
	refused, deferred, faults   atomic.Int64
}

// opened counts a new connection. The caller holds the listener's lock, so that maxOpen never gets smaller.
func (c *counters) opened(open int) {
	c.connections.Add(1)
	c.open.Store(int64(open))
	c.maxOpen.Store(max(c.maxOpen.Load(), int64(open)))
}

func (c *counters) taken(recipients, size int) {
	c.messages.Add(1)
	c.deliveries.Add(int64(recipients))
	c.bytes.Add(int64(size))
}

// played counts a fault.
func (c *counters) played() { c.faults.Add(1) }

// replied counts a reply by its first digit.
func (c *counters) replied(text string) {
	if text == "" {
		return
	}
	switch text[0] {
	case '4':
		c.deferred.Add(1)
	case '5':
		c.refused.Add(1)
	}
}

func (c *counters) read() Counts {
	return Counts{
		Connections: c.connections.Load(),
		TurnedAway:  c.turnedAway.Load(),
		Open:        c.open.Load(),
		MaxOpen:     c.maxOpen.Load(),
		Messages:    c.messages.Load(),
		Deliveries:  c.deliveries.Load(),
		Bytes:       c.bytes.Load(),
		Refused:     c.refused.Load(),
		Deferred:    c.deferred.Load(),
		Faults:      c.faults.Load(),
	}
}
