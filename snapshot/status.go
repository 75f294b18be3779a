package snapshot

// Status is the state of the recovery agent in numbers.
type Status struct {
	Ack        string `json:"ack"`
	Segments   int    `json:"segments"`    // files of the journal in use
	Messages   int    `json:"messages"`    // in the journal and not gone
	Deferred   int    `json:"deferred"`    // nodes with soft state
	Takes      int64  `json:"takes"`       // messages taken since start
	Recipients int64  `json:"recipients"`  // of them
	Done       int64  `json:"done"`        // recipients done since start
	Commits    int64  `json:"commits"`     // writes
	Syncs      int64  `json:"syncs"`       // fsyncs
	Bytes      int64  `json:"bytes"`       // written to the journal since start
	PerMessage int64  `json:"per_message"` // Bytes for each message taken
	Snapshots  int64  `json:"snapshots"`
	Blocked    string `json:"blocked,omitempty"`    // why nothing is taken now
	Unwritable string `json:"unwritable,omitempty"` // why nothing is sent now: what is sent could not be recorded
	Recovered  bool   `json:"recovered"`
	Recovery   Report `json:"recovery,omitzero"`
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
	}
	a.book.mu.Lock()
	defer a.book.mu.Unlock()
	s.Segments, s.Messages = len(a.book.segs), len(a.book.entries)
	if a.book.blocked != nil {
		s.Blocked = a.book.blocked.Error()
	}
	return s
}

// Blocked returns why nothing is taken now, or nil.
func (a *Agent) Blocked() error { return a.book.refusal() }
