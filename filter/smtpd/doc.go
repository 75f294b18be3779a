// Package smtpd is the second door: mail comes by SMTP or LMTP, from an MTA that uses Millrace as its content filter, or straight from an
// application.
//
// # Why a server of our own
//
// The door must answer for a message only when it is recoverable or when the MTA behind it has it, in one dialogue and recipient by
// recipient. The libraries at hand know no XFORWARD, and decide where a message ends with a laxer eye than the servers behind us: that
// is how mail is smuggled.
//
// # Roles
//
// A listener has a Role. All roles speak the same protocols, whichever the client begins: EHLO and HELO are SMTP, LHLO is LMTP (RFC 2033).
// They differ in what becomes of mail for which there is no room:
//
//	filter      451 4.3.2: the MTA keeps the message and tries again. Never a refused connection and never 421 at the greeting, for
//	            which Postfix calls the destination dead and defers all its mail
//	proxy       goes on to the MTA, whose disk takes it: the client behind the proxy may never try again
//	submission  goes on to the MTA; without one 451
//
// A client of a filter listener that says LHLO with RescueName brings an MTA's backlog. All is taken that can be, whatever the rules say,
// nothing is sent on, and every refusal is a temporary one.
//
// # One message
//
// MAIL and RCPT are answered at once. The header is collected, and at its end it is known what becomes of each recipient (type fate): the
// message is taken for him, passed on to the MTA, or the client is asked to keep it for him. From there the body flows to where it is
// wanted, once (type arrival): into the filter.Mail, into a passage to the MTA, or into both. conclude says why its steps have their
// order. A message that cannot be taken after all goes to the MTA with what has come of it.
//
// What is not ours reaches the MTA byte for byte, without a Received field of ours: towards it the door is no hop. The MTA learns the client
// by XFORWARD.
//
// # Where a message ends
//
// CR LF "." CR LF ends a message that came by DATA, and nothing else does. CR and LF that do not stand together and NUL are made
// canonical as they come in, or refused (Config.BareNewline), before anything is dot-stuffed again: no server behind us sees any. See
// decoder.
//
// # Time
//
// Every wait for a client is bounded: for a command, for the next bytes of a message, and for the message as a whole by min_rate. Our
// own answer comes within answer_timeout of the end of the message. The decision falls before the journal: what has no time left is not
// recorded at all, because a client that has given up sends the message again.
//
// When there are as many connections as there may be, a new one takes the place of one that has been idle between messages for some
// seconds: see crowd.go.
package smtpd
