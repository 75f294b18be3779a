package pool

import "time"

// Learned is what a restart must know of a Pace. Times are Unix seconds; 0: not learned.
type Learned struct {
	At      int64   `json:"at"`                // when this was written
	Window  int     `json:"window,omitempty"`  // agents at work
	Ceiling int     `json:"ceiling,omitempty"` // connections that the site allows
	Capped  int64   `json:"capped,omitempty"`  // when it said so
	Rate    float64 `json:"rate,omitempty"`    // messages a second that it takes
	Slowed  int64   `json:"slowed,omitempty"`  // when it said so
}

// Learned is what a restart must know; false: nothing was learned.
func (p *Pace) Learned(now time.Time) (Learned, bool) { return Learned{}, false }

// Recall takes back what was learned before a restart. What is older than a day is forgotten.
func (p *Pace) Recall(now time.Time, l Learned) {}

// View is a Pace as the admin sees it.
type View struct {
	Window      int     `json:"window"`                 // agents that may be at work; 0: closed
	WindowBy    string  `json:"window_by"`              // who set it: "default", "learned", "rule", "reply"
	Rate        float64 `json:"rate,omitempty"`         // messages a second; 0: no limit
	RateBy      string  `json:"rate_by,omitempty"`      // who set it
	Goodput     float64 `json:"goodput"`                // messages a second that the site takes
	Latency     float64 `json:"latency,omitempty"`      // seconds from the end of a body to its reply
	Learned     int64   `json:"learned,omitempty"`      // Unix seconds: since when the site has told its limits
	Throttled   string  `json:"throttled,omitempty"`    // the words of the last request to slow down
	ThrottledAt int64   `json:"throttled_at,omitempty"` // Unix seconds
}

// View is the state at now.
func (p *Pace) View(now time.Time) View {
	return View{Window: p.Window(now), WindowBy: "default"}
}
