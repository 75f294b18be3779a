package daemon

import (
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/relay"
)

// faults keeps faults of our own from ending the daemon where another can go on in place of what met the fault. A message that
// brings a fault about comes back with every start, so a daemon that ends by it never works again.
//
// The journal and the heart's own lists are left out on purpose: what they hold after a fault is not known, and to go on could
// acknowledge mail that is not on the disk, or send mail twice. There the process ends, and the next start reads the disk.
type faults struct {
	log  hclog.Logger
	seen sync.Map // texts that were logged with a stack
}

// guard runs work and survives a fault in it. It reports false then.
func (f *faults) guard(who string, work func()) (well bool) {
	defer func() {
		if fault := recover(); fault != nil {
			f.note(who, fault)
		}
	}()
	work()
	return true
}

// note logs a fault, with its stack the first time it is seen.
func (f *faults) note(who string, fault any) {
	args := []any{"in", who, "panic", fault}
	if _, seen := f.seen.LoadOrStore(fmt.Sprint(who, fault), true); !seen {
		args = append(args, "stack", string(debug.Stack()))
	}
	f.log.Error("internal error: please report it", args...)
}

// guarded is a listener whose faults cost its own work on one event. The journal has the event already: if the fault went on to
// the door or to the agent, the MTA would keep a message that is taken, or a recipient would be visited again who was sent to.
type guarded struct {
	relay.Listener
	who    string
	faults *faults
}

// Event implements relay.Listener.
func (g guarded) Event(e *relay.Event) { g.faults.guard(g.who, func() { g.Listener.Event(e) }) }

// want tells the resolver of a domain. It runs when a message is in the journal already, as listeners do.
func (d *Daemon) want(domain string) { d.faults.guard("dns", func() { d.resolver.Want(domain) }) }
