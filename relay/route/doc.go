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
//	Want, Lookup, Await ─► cache? ─► job (one per name) ─► backlog ─► worker
//	                                                                    │
//	           waiters ◄─ record in the cache ◄─ finding ◄─ search ◄────┘
//
// A search asks for the MX records and then, in one batch over one socket, for
// all addresses of all hosts. A Route is immutable; a refresh makes a new one,
// whose Site differs when the domain moved, so that nobody can mistake a
// connection to the old place for one to the new.
//
// # Why three lanes
//
// A dead domain holds a worker for seconds, a living one for milliseconds. With
// one queue a list full of dead domains would stop everybody's mail. Names that
// have a Route are refreshed first. A name gets one short wait (Config.Quick). A
// name that takes longer, or that failed last time, goes to the slow lane, which
// may occupy only a part of the workers. The rejected choice was to fail the name
// after the short wait: names that are merely slow would then cost their mail a
// visit, and by the time of the second look the name server has usually found out.
//
// # Answers that may bounce mail
//
// Only an answer may, never the lack of one. A name that does not exist must be
// denied twice, Config.MinTTL or more apart. While more than half of the
// recent lookups fail the fault is ours (Healthy is false), and nothing at all
// is permanent. A static route is the operator's word, so its failures are
// temporary too.
//
// # Who ends what
//
// Run starts Config.Parallel workers and returns; Stop, or the end of Run's
// context, ends them, and Stop joins them. There is no other goroutine and no
// timer: expiry is looked at when a name is asked for.
package route
