// Package milter is the milter door: Postfix or Sendmail offers every message, bulk is taken, all else passes.
//
// The wire is spoken by go-milter, one server for each connection, through a net.Conn of ours that sees every frame
// first. It refuses what is malformed before memory is asked for, and it digests what comes in numbers and needs no
// answer (macros, header fields, body chunks), so that the library sees only the few frames it has to answer:
//
//	MTA ──► conn.Read ─┬─ D L B ──► session, transaction          (no answer: the no-reply options)
//	                   └─ C H M R N E ──► go-milter ──► session    (callback, one reply)
//
// A session is what belongs to the connection, a transaction what belongs to one message. Both are touched by the
// connection's goroutine only.
//
// # When the door answers
//
// At MAIL, when no rule can match whatever the header says; else at the end of the header; and for what is taken at the
// end of the message: Accept first, and when it has returned nil the answer. All recipients taken: DISCARD. Some of them:
// each is deleted and the message accepted, so that the MTA delivers to the others. On any doubt before Accept has
// returned, the answer is "accept" and the MTA keeps the message; after it, the answer stays the one prepared for taking.
//
// # Why CONNECT, HELO, MAIL and RCPT are answered
//
// With nobody answering, Postfix sends them in small writes, and its next write then waits 40 ms for the
// acknowledgement of a TCP stack that hopes to save a packet.
//
// # Last in the MTA's list
//
// DISCARD ends the list of milters, so that one behind ours (a signer, say) would not see the message, and one that
// rejects what we have taken makes the client send it again. Ours must be the last.
//
// # What the MTA does not show
//
// Sendmail hides Date, From and Message-ID when it adds them itself, and shows Bcc and Return-Path, which it removes on
// delivery. A message is taken byte for byte or not at all, so from Sendmail one that lacks any of the former or has
// any of the latter stays with Sendmail. Postfix shows the header as it is going to be sent.
package milter
