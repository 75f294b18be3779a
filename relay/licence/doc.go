// Package licence counts mail against an allowance, and reads, signs and hands out licences.
//
// By default nothing is limited: Millrace is free software, and a Meter without an allowance answers with one atomic read.
//
// # What is counted
//
// Counted are recipients for whom a remote receiver answered 2xx, each once. Mail handed back to the MTA, deleted or refused, and
// Millrace's own notifications are not counted. The numbers are the absolute counters of a Counter, which go on over a restart.
//
// # What happens at the limit
//
// A message is taken only while what was sent, what was taken and is not settled, what other messages have reserved, and its own
// recipients fit into each bound. Otherwise the message as a whole stays with the MTA. What was taken is always delivered: nothing is
// returned, deleted or refused for an allowance. Because mail on its way counts like mail sent, the number sent never exceeds a bound.
//
// # Periods
//
// A day and a month have the number that had been sent when they began, their base. A base is durable before it is in force, and a
// period begins once: a clock that goes back leads to the period of before with its base, or, where that never began, to the base of
// the one that followed it. Neither gives a fresh allowance. A clock that goes forward by mistake begins a period too early and locks
// nothing up: the true next period begins when it comes.
//
// # Locks
//
// A Meter has one mutex. Under it the Counter is read, and nothing is written, logged or sent. The gate does not hold its own mutex when
// it asks the Meter, and the Meter never asks the gate.
//
// # Licences
//
// A licence is a signed allowance: Ed25519 over the exact bytes of a JSON object. See Licence and contrib/licence.md.
package licence
