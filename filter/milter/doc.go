// Package milter is the milter door: Postfix or Sendmail offers every message, bulk is taken, all other mail passes.
//
// The door knows frames, macros, negotiation and answers. Everything else about a message (parameters, limits, rules,
// building it, the queue map) is filter.Intake's.
//
// go-milter speaks the protocol, with one server for each connection, through a net.Conn of ours that sees every frame
// first. This conn refuses malformed frames before memory is allocated for them. It digests the frames that come in
// large numbers and need no answer (macros, header fields, body chunks), so that the library sees only the few frames
// it has to answer:
//
//	MTA ──► conn.Read ─┬─ D L B ──► session, filter.Mail          (no answer: the no-reply options)
//	                   └─ C H M R N E ──► go-milter ──► session   (callback, one reply)
//
// The layers, each using only those below it: Door; conn; session; progress, macros and frames. Stop reaches a
// connection through phase, which both hold. A session belongs to the connection, a filter.Mail to one message. Only
// the connection's goroutine touches them, but for session.taking.
//
// # When the door answers
//
// At MAIL, when no rule can match whatever the header says. Else at the end of the header. A message that is taken is
// answered at its end: first Accept, then, when Accept has returned nil, the answer. If all recipients are taken, the
// answer is DISCARD. If some are, each of them is deleted and the message accepted, so that the MTA delivers to the
// others. On any doubt before Accept has returned, the answer is "accept" and the MTA keeps the message. After it, the
// answer stays the one prepared for taking.
//
// # When the MTA has heard
//
// That an answer was written does not mean that the MTA has read it. The MTA has heard when it goes on: with its next
// frame, which Postfix and Sendmail send no earlier than their client's next message or QUIT, or by holding the connection
// open for two seconds more. An MTA that hangs up instead may have its client send the message again. conn.watchHeard
// decides; a Stop that closes the connection itself leaves nothing undecided.
//
// # Why CONNECT, HELO, MAIL and RCPT are answered
//
// If we asked not to answer them, Postfix would send them in small writes, and its next write would wait 40 ms for the
// acknowledgement of a TCP stack that hopes to save a packet.
//
// # Last in the MTA's list
//
// DISCARD ends the list of milters, so that a milter behind ours (a signer, say) would not see the message. If a milter
// behind ours rejected what we have taken, the client would send it again. Ours must be the last.
//
// # What a milter before us has changed
//
// Postfix never tells a milter what the milters before it have done to the envelope at the end of the message, nor whom it has
// added itself (always_bcc, recipient_bcc_maps). DISCARD ends the message for all of them. With bulk.keep_added each recipient
// that is taken is deleted instead, and the message accepted: added recipients stay with the MTA. A message to which nobody
// was added is then a queue file without recipients, which Postfix makes, syncs and removes.
//
// A recipient that a milter before us has deleted gets the mail all the same, and a sender that it has changed (SRS, BATV) is
// not used: no macro and no frame tells of either, and the protocol has no question for it. Only a door behind the queue sees
// the final envelope.
//
// # The brake of Postfix
//
// Postfix takes a token for each message that it opens a queue file for: default_process_limit of them, shared by all its
// listeners. Without one it waits for in_flow_delay, a second, before it goes on. Its queue manager hands out new tokens whenever it
// is woken, and what wakes it is a message that enters the queue. A message that is discarded does not enter it. So a campaign
// that is taken whole would spend the tokens and crawl at a message a second on each connection.
//
// For this reason the door drips: now and then it answers a message that it has taken by deleting all its recipients and accepting
// it, in place of DISCARD. Postfix writes a queue file without recipients, wakes its queue manager and removes the file. One
// message of 40 is dripped as long as Postfix does not pause. A pause shows between our answer to the first recipient and the
// next command, because there Postfix opens its queue file; then more messages are dripped, up to one of 5, and for the next
// minute a message is not taken while few tokens are left and a dripped message is still on its way to the disk, for at most
// 300 ms.
//
// A deletion that misses its recipient would double the message. So a message is dripped only if its recipients are plain ASCII
// and go out exactly as they came, and never for Sendmail, which has no such brake. A recipient that Postfix itself has added
// (always_bcc) stays in the queue file and gets its copy. A Postfix that cannot write the file, for want of room, refuses a message
// that is taken already, and the client may send it again; the same holds for a message that is taken for some recipients.
//
// # What the MTA does not show
//
// Sendmail hides Date, From and Message-ID when it adds them itself, and shows Bcc and Return-Path, which it removes on
// delivery. A message is taken byte for byte or not at all. So a message from Sendmail that lacks any of the former or
// has any of the latter stays with Sendmail. Postfix shows the header as it is going to be sent.
package milter
