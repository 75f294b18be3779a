// Package relay is the heart of Millrace: the queue map in RAM and what happens to a message in it.
//
// One message makes eight stops:
//
//  1. cmd/daemon wires the parts.
//  2. A door (filter/milter) builds an Envelope and a Message and asks package filter whether it is bulk.
//  3. QueueMap.Accept splits the message into its Wrapper and its personal part, commits it to the Journal
//     and links one Node per destination domain. Only now may the door answer for the message.
//  4. The Node waits in a Queue: one per domain and routing class, with siblings when it grows too long.
//  5. The Handler picks a Queue by its Order and makes a Visit.
//  6. pool.Manager lends a connection to the Queue's site.
//  7. smtp.Conn speaks; before the body goes out the Journal knows of the Visit.
//  8. Handler.Settle turns what came back into an Outcome per recipient and an Event; journal, mail log, counters and
//     bounces are written from Events and from nothing else.
//
// After a crash the recovery agent in package snapshot restores nodes into stop 4.
//
// # Locks
//
// A queue is guarded by the mutex of its shard of the map: taking a node is a few pointer writes, too short for a lock
// of its own to pay. Under it there are links and counters only: no I/O, no logging, no channel send. A node that is
// busy belongs to the Visit that holds it and comes back only through Settle.
//
// The heart imports no milter, DNS, TOML, HTTP or file code; interfaces (Journal, Listener) stand here,
// at their consumer.
package relay
