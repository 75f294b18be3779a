package relay

import (
	"slices"
	"time"
)

// Wait is how long a node waits after its visits-th failed visit: the schedule's entry (the last one repeats), made
// shorter or longer by chance (Deps.Chance) so that what failed together does not come back together.
func (c RetryConfig) Wait(visits int, chance func(n int) int) time.Duration {
	i := min(max(visits-1, 0), len(c.Schedule)-1)
	d := float64(c.Schedule[i])
	return time.Duration(d * (1 + c.Jitter*(2*float64(chance(fineness))/fineness-1)))
}

// fineness is how many waits there are between the shortest and the longest.
const fineness = 1 << 30

// longest is the longest wait that Wait returns.
func (c RetryConfig) longest() time.Duration {
	return time.Duration(float64(slices.Max(c.Schedule)) * (1 + c.Jitter))
}

// noticeLifetime is how long a notification waits for our own MTA at least, as long as a bounce in a Postfix queue by default
// (bounce_queue_lifetime). Nobody else would learn what became of the mail that it is about.
const noticeLifetime = 5 * 24 * time.Hour

// expires is when a message's recipients are given up.
func (c RetryConfig) expires(m *Message) time.Time {
	if m.Class() == ClassInject {
		return m.ageFrom().Add(max(c.Lifetime, noticeLifetime))
	}
	return m.ageFrom().Add(c.Lifetime)
}

// reached reports whether n has failed so often, or waited so long at now, that it goes back to the MTA.
func (c HandbackConfig) reached(n *Node, now time.Time) bool {
	if n.Class() != ClassRemote {
		return false
	}
	return c.Visits > 0 && int(n.Visits) >= c.Visits || c.After > 0 && now.Sub(n.Message.ageFrom()) >= c.After
}
