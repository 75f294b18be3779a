// Package relay is the heart of Millrace: the queue map in RAM and what happens to a message in it.
//
// One message makes eight stops. FLOW.md beside this file walks through them: what is in the hand, who holds which lock, which
// goroutine runs, what a crash leaves. The traces in testdata/traces show stops 3 to 8 as they happen.
//
//  1. The parts are wired: daemon.New and Start in cmd/daemon/daemon.go.
//  2. A door hands sender, recipients, header and body to filter.Intake, which asks the rules and at the end builds the
//     Message: Mail.SetSender, AddRcpt, EndHeader and Build in filter/mail.go. The milter door is filter/milter.
//  3. QueueMap.Accept in queuemap.go gives the shared part of the Content to a Wrapper, waits until the Journal has
//     committed the message, and links one Node per destination domain. Only then the door answers for the message.
//  4. The Node waits in a Queue, one per domain and routing class, with siblings when it grows too long: queue.go, line.go.
//  5. The pool pulls: Handler.Next in handler.go gives the next Queue by its Order, Handler.Visit in visit.go makes a Visit
//     of its first Node.
//  6. Site.carry in pool/site.go starts an agent for the Queue, and agent.connect in pool/agent.go gets a connection to the
//     site.
//  7. Conn.Deliver in smtp/deliver.go speaks. Before the end of the message goes out the Journal has recorded the Visit:
//     Handler.Begin and Visit.Recorded in visit.go.
//  8. Handler.Settle in settle.go turns each Fate into an Outcome and an Event. Journal, mail log, counters and bounces are
//     written from Events and from nothing else.
//
// After a crash snapshot.Agent.Recover gives the messages back, and QueueMap.Restore puts their nodes into stop 4.
//
// # Locks
//
// A queue is guarded by the mutex of its shard of the map, because unlinking a node is a few pointer writes, too few for a
// lock of its own. Under a shard's mutex there are links and counters only: no I/O, no logging, no channel send. A line has a
// mutex of its own, which is taken after a shard's was released, never under it. A busy node belongs to the Visit that holds
// it, and comes back only through Settle. A queue's state (QueueState) is atomic and changes only as the type says.
//
// # Imports
//
// The heart imports no milter, DNS, TOML, HTTP or file code, so that it can be tested with a clock alone. Its interfaces,
// Journal and Listener, stand here at their consumer. Who carries the queues is not its business: it is pulled.
package relay
