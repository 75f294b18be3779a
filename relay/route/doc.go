// Package route finds where the mail of a domain goes: the MX hosts of the
// domain and their addresses, looked up in the background and kept in a cache,
// or the next hop that the configuration's static table names.
//
// No method of Resolver waits for the network. Want says that a domain will be
// needed soon, Lookup takes the Route that is known, Await calls back. A Route in
// use is refreshed before it expires, so that in steady state a delivery never
// finds its route missing.
//
// # Path of a name
//
//	Want, Lookup, Await ─► cache? ─► job (one per name) ─► backlog ─► flight
//	                                                                    │
//	           waiters ◄─ record in the cache ◄─ finding ◄─ search ◄────┘
//
// A search asks for the MX records and then, in one batch over one socket, for
// all addresses of all hosts. A Route is immutable; a refresh makes a new one,
// whose Site differs when the domain moved, so that nobody can mistake a
// connection to the old place for one to the new.
//
// # Why lanes, and why questions are counted
//
// A dead domain keeps us waiting for seconds, a living one for milliseconds. In
// one queue a list full of dead domains would stop everybody's mail. What is
// bounded is the questions that are outstanding (Config.Parallel): a name that
// waits for its answer costs no more than a goroutine that sleeps.
//
// Names that have a Route are refreshed first, then come new ones. A name has
// Config.Quick, but when others wait for room the name that has been silent for
// longest, and for 100 ms at least, steps aside: it asks again behind the new
// ones and may then be silent for twice as long. So 10,000 dead names put a
// living one back by half a second. A name that was silent for all of
// Config.Quick, or failed last time, goes to the slow lane, which has room of its
// own. There it has a few short turns, for its questions may have been lost, and
// in the end seconds.
//
// The rejected choice was to fail a name after its short wait: names that are
// merely slow would then cost their mail a visit, and by the time of the second
// look the name server has usually found out.
//
// Questions share a few UDP sockets, so that thousands of questions need no
// thousands of descriptors, and go out 30 µs apart, because a name server on the
// same machine has room for a few hundred unread packets.
//
// # Answers that may bounce mail
//
// Only an answer may, never the lack of one. A name that does not exist must be
// denied twice, Config.MinTTL or more apart. While more than half of the
// recent lookups fail the fault is ours (Healthy is false), and nothing at all
// is permanent. A static route is the operator's word, so its failures are
// temporary too.
//
// Mail that leads to this host or into its local network never bounces: we do
// not send it there, whatever DNS says, and only our own MTA knows what it would
// do. Its Error has the Cause Ourselves, and the MTA gets the mail back.
//
// # What is looked at again
//
// Name servers (resolv.conf) and this host's addresses are read by New, and each
// minute from then on. When the addresses have changed, an answer that was judged
// by the old ones is looked up again as soon as somebody asks for it.
//
// # Who ends what
//
// Each name being looked up has a goroutine (Resolver.launch), and each open
// UDP socket one that reads (server.pick); it ends with the last batch that uses
// the socket. One more looks at this host each minute. Run begins the lookups; Stop, or the end of Run's context, ends
// them, and Stop joins them. Expiry is looked at when a name is asked for.
package route
