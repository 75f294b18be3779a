package pool

// Status is the state of a site, as the admin sees it.
type Status struct {
	Site        string   `json:"site"`
	Hosts       []string `json:"hosts"`
	Channels    int      `json:"channels"`               // agents at work
	Slow        int      `json:"slow,omitempty"`         // agents of them whose receiver has not answered for a while
	Idle        int      `json:"idle"`                   // connections kept for the next one
	Waiting     int      `json:"waiting"`                // queues in line
	Reason      string   `json:"reason,omitempty"`       // why it is closed
	ClosedUntil int64    `json:"closed_until,omitempty"` // Unix seconds
}

// Sites lists the sites in use.
func (m *Manager) Sites() []Status {
	var all []Status
	for _, s := range m.all() {
		all = append(all, s.status())
	}
	return all
}

func (s *Site) status() Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Status{Site: s.Key, Channels: s.agents, Slow: s.slow, Idle: len(s.idle), Waiting: s.line.Len()}
	for _, h := range s.route.Hosts {
		st.Hosts = append(st.Hosts, h.Name)
	}
	if why := s.pace.Closed(); why.Waits() {
		st.Reason, st.ClosedUntil = why.Text, why.UnixNext()
	}
	return st
}
