// Package pool carries mail to sites. A Site is one next hop, the MX set to which a domain resolves; limits, open
// connections and closed doors belong to the site, because millions of domains share a few sites.
//
// The Manager pulls: while a channel is free it asks the output handler for the next queue (Handler.Next), looks up the
// queue's route, and finds its site. There the queue gets an agent, or waits in the site's line until an agent takes it or
// Site.admit sends it back to the handler. The package imports route for the type Route. It asks for routes by the interface
// Router.
//
// # Who owns a channel
//
// An agent holds a token of Channels while it works. Manager.launch gives a new agent its token before the agent's goroutine
// runs, and takes it back when its work has ended. There are three kinds of token: a channel, a probation, and a slow one.
//
// Agents of a site that has proven itself hold channels: the site answered for some recipient since it was last closed. A new or
// reopened site has one agent, on probation. Such an agent uses no channel, so dead sites use up no channels; probations are
// limited too, at four for each channel. An agent whose receiver has not answered for a while exchanges its token for a slow
// one (agent.slowDown): a channel is for work that moves. Of those there are four for each channel, or more (Deps.Slow). A site
// has one or two agents whose receiver has not answered yet, and one more for each whose receiver does (Site.roomy): a
// thousand sites that hang at once leave the channels to the others.
//
// Manager.dispatch is the only goroutine that gives channels out. It waits until one is free before it pulls a queue, so that
// queues wait in the handler's line, in the admin's order, and not in the sites' lines.
//
// # Which agent ends when
//
// An agent (agent.go) is one goroutine with at most one connection. It ends
//
//   - when its queue is empty and no queue stands in the site's line;
//   - when no host of the site can be reached: the site is closed (Pace) and one visit is charged;
//   - when it was on probation and the site has proven itself: agents with a channel go on;
//   - when its receiver had not answered for a while and has answered now: its queue waits for a channel like any other;
//   - at the end of a queue's turn (pool.slice) when other queues wait for a channel and none is free, or when the
//     queue's route leads elsewhere by now;
//   - when the journal is unwritable, because nothing may be sent that cannot be recorded;
//   - after Manager.Stop: behind the reply to a message that the receiver has whole, else at once.
//
// Its connection stays with the site for the next agent, for pool.idle. A visit in hand goes back to the front of its
// queue, uncharged.
//
// # Where a queue waits
//
// A queue is in one state (relay.QueueState). Lined in the handler's line: it waits for a channel. Claimed: its route is
// being looked up. Lined in a site's line: the site is closed, has no room, or the journal is unwritable; Site.park says
// which, as a relay.Reason. Loose: agents are fetching its nodes. The agenda says when Site.tend lets the first queue of
// a line out when the site has room again; an agent that ends does the same at once.
//
// # Locks
//
// In this order, each may be held while the next is taken: Site.mu, then one of Manager.life, the agenda's, and the mutexes of
// a line, of a shard of the queue map, of the site's Pace, of the machine, and of the resolver (Site.serves looks routes up).
// Manager.mu is held for map accesses and for Site.update and Site.forgettable, so it comes before Site.mu. No lock is held over
// a dial, a read, a write or a QUIT: connections that must be ended are taken out of the site under its lock and ended outside.
//
// A Pace belongs to one site. The type hosts keeps what is known of each address. All sites share it, and its mutex is held
// for map accesses only.
package pool
