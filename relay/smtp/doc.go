// Package smtp is the outbound wire: an SMTP client (RFC 5321) that carries
// many messages over one connection at one round trip each.
//
// A caller, usually a connection pool, follows these steps:
//
//  1. [Dial] connects, reads the banner, says EHLO (or HELO), starts TLS when
//     it is offered and wanted, and says EHLO again.
//  2. [Conn.Deliver] asks for transactions one by one, sends them, and hands
//     each back with one [Result] per recipient.
//  3. [Conn.Alive] tells whether a connection that has been idle may be used
//     for another Deliver.
//  4. [Conn.Quit] ends it in good order, [Conn.Close] at once.
//
// # One round trip a message
//
// With PIPELINING (RFC 2920) the body of message n and the envelope of message
// n+1 leave in one write, because section 3.1 lets a body begin a command group:
//
//	client                                     server
//	MAIL 1, RCPT 1.., DATA              ─────►
//	                                    ◄───── 250, 250.., 354
//	body 1, ".", MAIL 2, RCPT 2.., DATA ─────►
//	                                    ◄───── 250 (message 1), 250, 250.., 354
//	body 2, "."                         ─────►
//	                                    ◄───── 250 (message 2)
//
// The next body leaves only when the reply to the last one has come, so at most
// one message per connection can be in doubt when a connection is lost, and the
// receiver's own pace meters the feed.
//
// # The rule that keeps replies and commands together
//
// Nothing is written while a reply is owed: every group's replies are read
// before the next write. Therefore any reply that waits unread when we are about
// to write is a reply to nothing, and the dialogue is out of step. It is then
// botched: the connection is closed and never used again. A recipient is
// reported as sent only after its own 2xx, a 3xx to DATA and a 2xx to the body.
//
// A batch (below) is one command group in this sense: all of its replies are read before the next write.
//
// The same rule lets one goroutine, the caller's, drive a connection without
// deadlock: a command group is at most 8 KB (or 100 recipients), which the
// kernel's buffers hold even when the peer is busy writing replies.
//
// # Replies that are not as they should be
//
// The reader accepts the replies that Postfix accepts: the code of the last line
// decides, lines that are no reply are skipped, and a long reply is cut. Such a
// reply may be two replies, or stand in place of one, and then the replies to
// pipelined commands come one place too early. The count of replies tells: as long
// as one is missing, no refusal is believed, and no "taken" either. When it stays
// missing, the RCPT with the first odd reply is charged alone and the other
// recipients are bystanders, or the body with that reply is reported as unknown. Nothing more is pipelined to a peer that says
// lines that are no reply.
//
// # What is charged to whom
//
// An [Error] in a Result is that recipient's own failure, unless it is a
// [Result.Bystander]. [Result.Again] is not a
// failure at all: the recipient was not tried, or the peer wanted fewer
// recipients at a time, or a connection that had already carried mail ended
// before the peer said anything about this message. A message is never tried
// Again for ever: the first transaction on a connection is always charged.
//
// # What a refusal means
//
// [Classify] gives a reply a [Class] (rate, reputation, bad-mailbox, ..) and a
// [Scope] (the recipient, the message, the sender, the site). [Error.Verdict]
// does so for any failure. Pace, suppression, bounces and metrics ask these two
// and keep no word list of their own. The words are in classrules.go, and the
// replies they were measured on are in testdata/replies.tsv.
//
// # Why not an existing client
//
// The clients in wide use write one command at a time, send RSET and even EHLO
// between messages, demand exactly 250 for RCPT, and copy the body byte by byte
// to stuff dots. Here a body is only sliced: it is never copied on a plain TCP
// connection, and never altered.
//
// # Several messages in one round trip
//
// With CHUNKING (RFC 3030) the length of a body stands before it, so that nothing needs to be waited for. If the caller allows
// it ([Conn.Chunk]), up to four small messages leave in one batch:
//
//	client                                                    server
//	MAIL 1, RCPT 1.., BDAT n LAST, body 1, RSET, MAIL 2, ..   ─────►
//	                                                          ◄───── 250, 250.., 250 (message 1), 250 (RSET), ..
//
// The price is that more is in doubt, and for longer. A body leaves before its recipients are known to be taken, and is wasted
// if they are refused. When the connection is lost, every message of the batch that has no reply may be delivered twice. No
// 354 shows where the replies stand; so no result is given before all replies of the batch are in, and none at all when their
// number is wrong, or may be: then all of the batch is in doubt. RSET stands between two messages because a peer may keep
// a transaction open whose body it has refused, and the next message would go to the recipients of that one too. A batch begins
// with one message on each connection, and grows while the peer takes all of it soon.
package smtp
