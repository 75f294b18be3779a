// Package milter is the milter door: Postfix or Sendmail offers every message, bulk is taken, all other mail passes.
//
// The door knows frames, macros, negotiation and answers. Everything else about a message (parameters, limits, rules,
// building it, the queue map) is filter.Intake's.
//
// conn reads the frames of one connection and writes the answers, session knows what the frames mean:
//
//	MTA ──► conn ─┬─ O ──► go-milter                              (the negotiation)
//	              ├─ C H M R L N E ──► session, filter.Mail ──► conn: one write, answer and changes of the message together
//	              └─ B ──► filter.Mail                            (read straight into the message)
//
// The layers, each using only those below it: Door; conn; session; progress, macros and frames. Stop reaches a
// connection through phase, which both hold. A session belongs to the connection, a filter.Mail to one message. Only
// the connection's goroutine touches them, but for session.taking.
//
// # What go-milter is for
//
// It answers the MTA's offer, and its types are the protocol's words: commands, answers, changes, steps. The frames behind the offer do
// not pass through it. It reads each frame with two calls and two allocations, makes a map of each packet of macros (of which Postfix
// sends one before every header field), and answers through a buffer of 4 KB: 42 allocations and 10 µs a message, as much as the
// rest of the door. Its session forgets the connection behind a verdict, and the parameters of MAIL and RCPT. A frame that
// is in our buffer costs neither a call nor an allocation. A malformed one is refused before memory is allocated for it.
//
// # When the door answers
//
// At CONNECT, when no rule can take mail of this client: the MTA then asks no more. Else at the end of the header, by which all
// is known. A message that is taken is answered at its end: first Accept, then, when Accept has returned nil, the answer. If all
// recipients are taken, the answer is DISCARD. If some are, each of them is deleted and the message accepted, so that the MTA delivers to
// the others. On any doubt before Accept has returned, the answer is "accept" and the MTA keeps the message. After it, the
// answer stays the one prepared for taking.
//
// Each answer that the MTA waits for costs its process and ours a turn. So the door asks to be allowed silence (SMFIP_NR_*), and keeps
// two answers only where they are of use:
//
//   - at MAIL, if a rule of the file may pass mail by its sender, login or macro (filter.EndsAtMail): the MTA is then spared the header.
//     The rules that come with Millrace need the header anyway.
//   - at RCPT, while Config.Drip is on and on one connection of eight: the time behind the answer to the first recipient is the only one
//     that shows that Postfix pauses (see "The brake of Postfix"). Postfix pauses on all connections, so that a few tell of it.
//
// What is known earlier than the MTA waits, a sender that cannot be taken for instance, waits for the next answer. An MTA that does not
// offer silence gets all answers. An MTA that is silent itself sends MAIL and RCPT with the header, so that a connection looks idle
// until then. A stop that closes idle connections may meet such a client: its message stays with the MTA, by default_action.
//
// On TCP Postfix sends what needs no answer in small writes, and Sendmail sends all frames so: each would wait for the acknowledgement of
// the one before. See quickAck.
//
// # When the MTA has heard
//
// That an answer was written does not mean that the MTA has read it. The MTA has heard when it goes on: with its next
// frame, which Postfix and Sendmail send no earlier than their client's next message or QUIT, or by holding the connection
// open for two seconds more. An MTA that hangs up instead may have its client send the message again. conn.watchHeard
// decides; a Stop that closes the connection itself leaves nothing undecided.
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
