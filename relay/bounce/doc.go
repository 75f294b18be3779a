// Package bounce tells senders that their mail was not delivered, and why.
//
// Compose writes a delivery status notification: RFC 3464 inside a multipart/report (RFC 6522), internationalised by
// RFC 6533 where an address asks for it. Notify reads the NOTIFY parameter of RFC 3461. These are pure functions. Server is
// the part that lives: it listens to the events of the heart, gathers the failures of one message, and gives the queue map
// one notification for all of them. The package does not judge replies: smtp.Classify does.
//
// # Why through the MTA
//
// A notification is accepted like any message, journal first, with the routing class relay.ClassInject: it is delivered to
// our own MTA and not to the sender's MX. List managers read their bounces from an alias or a local mailbox, which only the
// MTA knows; and it has a disk queue for the return paths that do not answer.
//
// A host without an MTA has Direct in its place. Then a notification goes to the sender's MX, waits in our own queue while that
// does not answer, and is given up as any notification.
//
// # Why a failure is settled twice
//
// A recipient that bounced is not done when the receiver said no, but when the sender's notification is safe. The journal
// therefore takes relay.EventReported, not the bounce itself, as the end of such a recipient. After a crash in between the
// recipient is visited once more, fails once more, and the sender hears of it. The opposite order could lose the news.
//
// # Who runs what
//
// Event runs on the goroutine that settles a visit, and only gathers. Run runs on a goroutine of the daemon; each sweep
// adds at most eight, which end with the sweep. The mutex guards the line of notices. It is never held while Accept,
// Pending or Compose runs: all three may take long, and Event must not wait for them. The lexicon has a mutex of its own.
//
// # What waits
//
// While our MTA takes nothing, as many notices wait as messages have failed, and each keeps its message. A notice with one
// recipient is a block of 64 bytes. What the receiver said is in the lexicon, once for all recipients of whom it said the same.
package bounce
