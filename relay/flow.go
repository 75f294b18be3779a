package relay

import (
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// FlowName is what tells one flow from another: the mail of one campaign, or of one sender, of one tenant. A door fills it in; the
// zero FlowName is mail of nobody in particular.
type FlowName struct {
	Tenant string // a [[tenant]]'s name; "" is everybody whom no tenant names
	Name   string // the campaign, list or sender, as the mail itself names it
	Sender string // domain of the envelope sender, lower case
	Urgent bool   // its bulk rule has lane = "urgent"
}

// Flow is one FlowName in use: its mail takes turns with that of other flows. There is one Flow for each name, from the first message
// of that name to the last message or queue. A nil Flow is mail of nobody in particular.
type Flow struct {
	name   FlowName
	tenant *Tenant // nil: nobody's

	mail *References // of its messages

	refs int   // messages and queues; guarded by the mutex of flows
	cost int64 // bytes charged to the Budget
}

// Name is what the flow is called by; the zero FlowName for a nil Flow.
func (f *Flow) Name() FlowName {
	if f == nil {
		return FlowName{}
	}
	return f.name
}

// owner is the tenant of f, nil for nobody.
func (f *Flow) owner() *Tenant {
	if f == nil {
		return nil
	}
	return f.tenant
}

// lane is the lane in which f has its turns.
func (f *Flow) lane() int {
	if f != nil && f.name.Urgent {
		return urgent
	}
	return bulk
}

// maxNames is how many flows of one tenant and sender domain live at the same time. Some senders give each message a List-Id of its
// own: above the number, further names share one flow of their sender, so that such names do not make a queue for each message.
const maxNames = 200

// flowCost is the bytes that a flow takes beside its text, its place in one line included.
const flowCost = 500

// sender is whose names maxNames counts.
type sender struct{ tenant, domain string }

// flows holds every flow in use, by name, and the tenants. Its mutex is taken under that of a shard.
type flows struct {
	budget   *Budget
	wrappers *Wrappers
	own      *Flow         // of our notifications and of mail that is handed back
	opened   atomic.Uint64 // how often a tenant that was at its limit got below it before its time

	mu      sync.Mutex
	byName  map[FlowName]*Flow
	names   map[sender]int // flows that have a Name
	tenants map[string]*Tenant
}

func newFlows(b *Budget, w *Wrappers) *flows {
	return &flows{budget: b, wrappers: w, own: &Flow{mail: new(References)}, byName: make(map[FlowName]*Flow), names: make(map[sender]int), tenants: make(map[string]*Tenant)}
}

// intern returns the flow of one more message, made when it is new.
func (fs *flows) intern(name FlowName) *Flow {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f := fs.byName[name]
	if f == nil && name.Name != "" && fs.names[sender{name.Tenant, name.Sender}] >= maxNames {
		name.Name = ""
		f = fs.byName[name]
	}
	switch {
	case name == FlowName{}:
		return nil
	case f == nil:
		f = fs.found(name)
	}
	f.refs++
	return f
}

// found makes a new flow. It copies the text, which may be a piece of a message. The mutex is held.
func (fs *flows) found(name FlowName) *Flow {
	t := fs.tenant(name.Tenant)
	if t != nil {
		t.flows++
		name.Tenant = t.name
	}
	name.Name, name.Sender = strings.Clone(name.Name), strings.Clone(name.Sender)
	f := &Flow{name: name, mail: fs.wrappers.references(name), tenant: t, cost: flowCost + textSize(name.Name) + textSize(name.Sender)}
	fs.byName[name] = f
	if name.Name != "" {
		fs.names[sender{name.Tenant, name.Sender}]++
	}
	fs.budget.Charge(AccountMail, f.cost)
	return f
}

// tenant finds or makes the tenant of that name. The mutex is held.
func (fs *flows) tenant(name string) *Tenant {
	if name == "" {
		return nil
	}
	t := fs.tenants[name]
	if t == nil {
		t = newTenant(strings.Clone(name), &fs.opened)
		fs.tenants[t.name] = t
	}
	return t
}

// all lists the flows in use, but for our own.
func (fs *flows) all() []*Flow {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	all := make([]*Flow, 0, len(fs.byName)+2)
	for _, f := range fs.byName {
		all = append(all, f)
	}
	return all
}

// retain counts a queue of f.
func (fs *flows) retain(f *Flow) {
	if f == nil || f == fs.own {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	f.refs++
}

// disown counts a message or a queue of f out. With the last one f is gone, and with its last flow a tenant that no configuration
// names.
func (fs *flows) disown(f *Flow) {
	if f == nil || f == fs.own {
		return
	}
	fs.mu.Lock()
	defer fs.mu.Unlock()
	if f.refs--; f.refs > 0 {
		return
	}
	delete(fs.byName, f.name)
	if by := (sender{f.name.Tenant, f.name.Sender}); f.name.Name != "" {
		if fs.names[by]--; fs.names[by] == 0 {
			delete(fs.names, by)
		}
	}
	if t := f.tenant; t != nil {
		t.flows--
		fs.dismiss(t)
	}
	fs.budget.Refund(AccountMail, f.cost)
}

// dismiss forgets t if it has no flows and no configuration names it. The mutex is held.
func (fs *flows) dismiss(t *Tenant) {
	if t.flows == 0 && !t.named {
		delete(fs.tenants, t.name)
	}
}

// configure gives each tenant its limits, and those that are not named none.
func (fs *flows) configure(all []TenantConfig) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	named := make(map[string]TenantConfig, len(all))
	for _, cfg := range all {
		named[cfg.Name] = cfg
		fs.tenant(cfg.Name)
	}
	for name, t := range fs.tenants {
		cfg, ok := named[name]
		t.named = ok
		t.limit(cfg)
		fs.dismiss(t)
	}
	fs.opened.Add(1)
}

// holds says why the mail of f is passed over at now, if its tenant is at a limit.
func (f *Flow) holds(now time.Time) Reason {
	t := f.owner()
	if t == nil {
		return Reason{}
	}
	return t.holds(now)
}
