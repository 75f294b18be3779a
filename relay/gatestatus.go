package relay

import (
	"cmp"
	"slices"
	"time"
)

// GateStatus is the gate in numbers.
type GateStatus struct {
	State     GateState `json:"state"`                // of all mail
	Since     int64     `json:"since"`                // Unix seconds; 0: since the start
	Fill      float64   `json:"fill"`                 // part of the room that is used, 0 to 1
	Intake    int       `json:"intake"`               // messages that wait for the journal
	DrainTime float64   `json:"drain_time,omitempty"` // seconds that the waiting mail takes to send at the rate of now; 0: not known

	// Left counts messages left with the MTA for want of room, wholly or for some recipients, since the start: for want of any, at a
	// site, and of a tenant.
	Left        int64 `json:"left"`
	LeftSites   int64 `json:"left_sites"`
	LeftTenants int64 `json:"left_tenants"`

	Shut      []ShutRoom `json:"shut,omitempty"` // sites and tenants that are not open: at most MaxShut, those with the most mail first
	ShutRooms int        `json:"shut_rooms"`     // all of them

	ReasonStatus // of State
}

// MaxShut bounds GateStatus.Shut.
const MaxShut = 100

// ShutRoom is a site or a tenant whose mail finds no room.
type ShutRoom struct {
	Site    string    `json:"site,omitempty"`
	Tenant  string    `json:"tenant,omitempty"`
	State   GateState `json:"state"`
	Since   int64     `json:"since"`
	Waiting int       `json:"waiting"` // its nodes
	Rate    float64   `json:"rate"`    // messages a second that it takes

	ReasonStatus
}

// Status is the gate as it is now.
func (g *Gate) Status() GateStatus {
	g.mu.Lock()
	defer g.unlock()
	now := time.Now()
	g.judge(now)
	s := GateStatus{
		State: g.all.state, Since: unix(g.all.since), Fill: g.fill(), Intake: g.intake.pending,
		Left: g.lefts[scopeAll], LeftSites: g.lefts[scopeSite], LeftTenants: g.lefts[scopeTenant],
		Shut: g.listShut(now), ShutRooms: len(g.shut), ReasonStatus: g.all.why.Status(),
	}
	if rate, known := g.sent.rate(now); known && rate > 0 && g.waiting > 0 {
		s.DrainTime = drainTime(g.waiting, rate).Seconds()
	}
	return s
}

// listShut looks at some of the rooms that are shut: nobody may have asked since they could open. After an outage very many may be, and
// doors wait for the mutex, so that those which open now count too. The mutex is held.
func (g *Gate) listShut(now time.Time) (list []ShutRoom) {
	looks := 0
	for r := range g.shut {
		if looks++; looks > MaxShut {
			break
		}
		if g.judgeRoom(r, now).state == GateOpen {
			continue
		}
		rate, _ := r.taken.rate(now)
		shut := ShutRoom{State: r.state, Since: unix(r.since), Waiting: r.nodes, Rate: rate, ReasonStatus: r.why.Status()}
		if shut.Site = r.key; r.tenant {
			shut.Site, shut.Tenant = "", r.key
		}
		list = append(list, shut)
	}
	slices.SortFunc(list, func(a, b ShutRoom) int {
		return cmp.Or(cmp.Compare(b.Waiting, a.Waiting), cmp.Compare(a.Site, b.Site), cmp.Compare(a.Tenant, b.Tenant))
	})
	return list
}

// setTenants gives each tenant its limit. A tenant that is not named any more, and has no mail, is forgotten.
func (g *Gate) setTenants(all []TenantConfig) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.unlock()
	named := make(map[string]bool, len(all))
	for _, r := range g.tenants {
		r.most = 0
	}
	for _, t := range all {
		named[t.Name] = true
		r := g.tenants[t.Name]
		if r == nil {
			r = &Room{key: t.Name, tenant: true, taken: meter{paused: true}}
			g.tenants[t.Name] = r
		}
		r.most = t.MaxMessages
	}
	for name, r := range g.tenants {
		if !named[name] && r.nodes+r.granted == 0 {
			delete(g.tenants, name)
			delete(g.shut, r)
		}
	}
	g.open()
}
