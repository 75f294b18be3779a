package snapshot

// Status is the state of the recovery agent in numbers. Counters count since the start of the daemon, but for Totals.
type Status struct {
	// Ack is the configured safety of a take: "journal", "written" or "memory".
	Ack string `json:"ack"`
	// Segments is the number of journal files in use.
	Segments int `json:"segments"`
	// Messages is the number of messages in the journal that are not gone.
	Messages int `json:"messages"`
	// Deferred is the number of nodes that have waited after a visit.
	Deferred int `json:"deferred"`
	// Takes counts messages taken, Recipients their recipients, and Done the recipients who are done.
	Takes      int64 `json:"takes"`
	Recipients int64 `json:"recipients"`
	Done       int64 `json:"done"`
	// Totals count since the first start in the state directory.
	Totals Totals `json:"totals"`
	// Commits counts writes to the journal, and Syncs its fsyncs. Takes divided by Syncs is how well group commit works.
	Commits int64 `json:"commits"`
	Syncs   int64 `json:"syncs"`
	// Bytes counts what was written to the journal; PerMessage is that for each message taken.
	Bytes      int64 `json:"bytes"`
	PerMessage int64 `json:"per_message"`
	// Snapshots counts snapshots that are durable.
	Snapshots int64 `json:"snapshots"`
	// Blocked is why no message is taken now, empty when messages are taken.
	Blocked string `json:"blocked,omitempty"`
	// Unwritable is why nothing is sent now: an outcome could not be recorded. It is empty when mail is sent.
	Unwritable string `json:"unwritable,omitempty"`
	// Recovered says that the recovery is complete.
	Recovered bool `json:"recovered"`
	// Recovering is how far the recovery is; nil when it is complete.
	Recovering *Progress `json:"recovering,omitempty"`
	// Recovery is what it found. It is left out until then, and when there was nothing to recover: the first start in a state
	// directory.
	Recovery Report `json:"recovery,omitzero"`
}

// Status returns the numbers of this moment.
func (a *Agent) Status() Status {
	s := Status{
		Ack: string(a.cfg.Ack), Takes: a.count.takes.Load(), Recipients: a.count.rcpts.Load(), Done: a.count.dones.Load(),
		Commits: a.count.commits.Load(), Syncs: a.count.syncs.Load(), Bytes: a.count.bytes.Load(),
		Snapshots: a.count.snapshots.Load(), Deferred: a.book.waits.nodes(),
	}
	if s.Takes > 0 {
		s.PerMessage = s.Bytes / s.Takes
	}
	if err := a.Unwritable(); err != nil {
		s.Unwritable = err.Error()
	}
	if r := a.keeper.recovered.Load(); r != nil {
		s.Recovered, s.Recovery = true, *r
	} else {
		s.Recovering = a.progress.soFar()
	}
	if err := a.Blocked(); err != nil {
		s.Blocked = err.Error()
	}
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	s.Totals = totalsOf(&a.book.totals)
	s.Segments, s.Messages = len(a.book.segs), a.book.entries.n
	return s
}

// Blocked returns why nothing is taken now, or nil.
func (a *Agent) Blocked() error {
	if err := a.book.refusal(); err != nil {
		return err
	}
	return a.book.overdue()
}
