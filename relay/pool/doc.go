// Package pool carries mail to sites. A Site is one next hop, the MX set to which a domain resolves, as one of our source addresses
// sees it; limits, open connections and closed doors belong to the site, because millions of domains share a few sites, and because
// a receiver's limits are for an address.
//
// The Manager pulls: while a channel is free it asks the output handler for the next queue (Handler.Next), looks up the
// queue's route, chooses the source, and finds the site. There the queue goes into the site's line, and the site gets one agent more
// if it may have one and has work for it. The package imports route for the type Route. It asks for routes by the interface
// Router.
//
// # How a visit comes about
//
// An agent belongs to a site and owns no queue. For each visit (agent.nextVisit) it asks, in this order: Site.asks, whether the site
// may still have so many agents, by its Pace, its rules and its quiet hours; whether its turn with a channel is over, in messages
// (pool.slice) or in time; Pace.Ask, whether the site's rate lets a message go; and Handler.Serve, which node of the site's line goes
// next, by urgency, tenant, flow and the admin's order. Then the warm-up plan of the source is asked, and whether a [[reply]] rule
// has suspended the sender. Smtp asks for the next message while one is under way, and for several before one is under way where they
// may go by BDAT (Site.batch): those are visits like any other. When no node may
// go for a while the agent ends, and the agenda wakes the site at that time.
//
// What a transaction shows goes to three places (agent.learn): to the [[reply]] rules, which win; to bounds, how much the site takes
// at a time; and to its Pace, how fast. A refusal of our own goes to none of them. A message that is refused because the site wants
// less goes back to the front of its queue, uncharged, since that says nothing of the message; after some such refusals in a row it
// waits like any other. What was learned outlives the site and the process (lesson.go).
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
// Manager.dispatch waits until a channel is free before it pulls a queue, so that queues wait in the handler's line, in the admin's
// order. A site whose line has work for one agent more takes a channel for it without the dispatcher (Site.enlist), but only while
// no queue waits for a channel.
//
// # Which agent ends when
//
// An agent (agent.go) is one goroutine with at most one connection. It ends
//
//   - when the site's line has no node that may go now;
//   - when no host of the site can be reached: the site is closed (Pace) and one visit is charged. While other connections to the
//     site are open, it is not down but takes no more of them: nobody is charged, and its window is what is open;
//   - when it was on probation and the site has proven itself: agents with a channel go on;
//   - when its receiver had not answered for a while and has answered now: its site's mail waits for a channel like any other;
//   - at the end of its turn when queues wait for a channel and none is free;
//   - when the site may have fewer agents by now;
//   - when the journal is unwritable, because nothing may be sent that cannot be recorded;
//   - after Manager.Stop: behind the reply to a message that the receiver has whole, else at once.
//
// Its connection stays with the site for the next agent, for pool.idle. A visit in hand goes back to the front of its
// queue, uncharged.
//
// # Where a queue waits
//
// A queue is in one state (relay.QueueState). Lined in the handler's line: it waits for a channel. Claimed: its route is
// being looked up. Lined in a site's line: agents serve it there, or the site is closed, has no room, or the journal is unwritable;
// Site.waits says which, as a relay.Reason. Loose: it has no node that waits. The agenda says when Site.tend looks at a site; an
// agent that ends does the same at once.
//
// # Locks
//
// In this order, each may be held while the next is taken: Site.mu, then one of Manager.life, the agenda's, and the mutexes of
// a line, of a shard of the queue map, of the site's Pace and connections, of the machine, and of the resolver (Site.serves looks
// routes up).
// Manager.mu is held for map accesses and for Site.update and Site.forgettable, so it comes before Site.mu, and so does the mutex of the
// lessons, behind it. No lock is held over
// a dial, a read, a write or a QUIT: connections that must be ended are taken out of the site under its lock and ended outside.
//
// A Pace belongs to one site. The type hosts keeps what is known of each address. All sites share it, and its mutex is held
// for map accesses only.
package pool
