// Package relay is the heart of Millrace: the queue map in RAM and what happens to a message in it.
//
// One message makes eight stops. FLOW.md walks through them. It says at each stop what is in the hand, who holds which lock,
// which goroutine runs, and what a crash leaves. The traces in testdata/traces show the heart's part of them.
//
//  1. The parts are wired: daemon.New and Start in cmd/daemon/daemon.go.
//  2. A door hands sender, recipients, header and body to filter.Intake, which asks the rules and at the end builds the
//     Message: Mail.SetSender, AddRcpt, EndHeader and Build in filter/mail.go. The milter door is filter/milter, the SMTP door is filter/smtpd.
//  3. QueueMap.Accept in queuemap.go divides the Content into a part and a Wrapper, waits until the Journal has
//     committed the message, and links one Node per destination domain. Only then the door answers for the message.
//  4. The Node waits in a Queue, one per domain, routing class and Flow, with siblings when it grows too long: queue.go, flow.go.
//  5. The pool pulls: Manager.dispatch in pool/manager.go asks Handler.Next in handler.go for the next Queue of its Line: line.go,
//     turns.go.
//  6. Site.carry in pool/site.go puts the Queue into the site's Line and starts an agent, and agent.connect in pool/agent.go gets a
//     connection to the site.
//  7. Conn.Deliver in smtp/deliver.go speaks. It asks the agent for the next message: Handler.Serve makes a Visit of the
//     Node whose turn it is in the site's Line, Handler.Begin records it, and Visit.Recorded holds the content back until the record is durable; all in visit.go.
//  8. Handler.Settle in settle.go gives each recipient its Outcome. Outcomes reach journal, mail log, counters and bounces as
//     Events and in no other way.
//
// After a crash snapshot.Agent.Recover gives the messages back, and QueueMap.Restore puts their nodes into stop 4.
//
// # Locks
//
// The mutex of a queue's shard guards the queue. A queue has no mutex: to unlink a node is a few pointer writes. Under a
// shard's mutex there is no I/O, no logging and no channel send. A line has a mutex. No shard's mutex is held when it is taken. Last
// come the mutex of the map of flows and, under it, that of a tenant or that of the wrappers, and the mutex of the Deferrals: nothing else
// is locked under them.
// The pool is asked nothing under a shard's mutex: it has locks under which it asks queues.
// QueueState lists the changes that a queue's state may make.
//
// A node is busy while one goroutine owns it: that of a visit, of the sweep, or of the deferrals. A visit's node comes back by
// Settle; the deferrals link it or hand it back; the sweep hands it back or settles it as expired. The lever takes a node out of where it
// waits and is its owner for that moment; of a busy node it notes what is wanted, for its owner to find.
//
// # Faults of our own
//
// A panic of an agent, of a lookup, of a door's session, of a listener, of the bounce server or of a console request costs what
// it had in hand: that is parked, charged and in the end handed back, or told to the log. A message that brings a panic about
// comes back with every start, so the daemon must not end by it. A panic of the journal, or of the heart's own lists, ends the
// process: nobody knows what they hold then, and to go on could acknowledge mail that is not on the disk. The next start reads
// the disk, as after a kill -9.
//
// # Imports
//
// The heart imports no milter, DNS, TOML, HTTP or file code, so that it can be tested with a clock alone. Its interfaces,
// Journal and Listener, stand here at their consumer. The heart calls no carrier: the pool pulls.
package relay
