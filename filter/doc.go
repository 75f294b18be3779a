// Package filter is what all doors share: the way of a message from MAIL to the queue map, and the rules that say which
// messages are bulk.
//
// # One message
//
// This is stop 2 of the eight (see package relay). A door has one Intake, and calls for each message
//
//	Intake.Begin            MAIL comes; the Mail keeps the filter in use now
//	Mail.SetSender          parameters of MAIL; asks Filter.Early, so that mail no rule can match ends here
//	Mail.AddRcpt            parameters of RCPT; asks Filter.Takes, because the MTA delivers to some recipients itself, and
//	                        keeps the recipients that the MTA would not send straight to their domain (see Hop)
//	Mail.Field, HeaderLine  the header is collected
//	Mail.EndHeader          asks Filter.Decide, which sees the whole header: most mail is decided here; the first message of a
//	                        campaign is examined (Preflight)
//	Mail.BodyRoom, SetBody  the body is collected, of messages that will be taken only
//	Mail.Build              the relay.Message is built here, and not before: it is told with which mail it takes turns (see
//	                        Tenants, flowFields, Rule.Lane), and checked to be sendable byte for byte
//	Mail.Take               asks relay.QueueMap.Accept, which is stop 3
//	Intake.NoteHeard        the MTA has heard that the message is taken, or has hung up
//
// and Mail.Dismiss at the end. After each of these calls Mail.Left may say why the message stays with the MTA. Before
// all of them, when a client connects, Intake.Hopeless may say that none of its messages can be taken. Filter never
// sees the Mail: it is shown an Offer (the client, the sender, the announced size), a recipient's domain, and the
// header.
//
// Addresses go out in the form of RFC 5321, whatever the client wrote; what is no address there stays with the MTA (see
// Command.Canonical). A message that is left for its form or for want of room is counted by its Cause.
//
// Until Take returns the message, any doubt leaves it with the MTA. After that the message is ours.
//
// # Room
//
// The gate is asked when a message is known to be bulk and before its body comes: Mail.AskGate. All other mail never meets it. A Hold
// lets replies wait while there is no room, a few at a time; each of its waits ends with the gate's signal, with the time that the
// configuration or the door's protocol allows, or with the door. A rule that needs no header decides at MAIL: while nothing at all is taken, its
// mail is left there. The places of a message are asked for at once, when all its recipients are known, and not one by one at RCPT: a
// milter's answer to RCPT would refuse the recipient, not leave him with the MTA.
//
// # Rules
//
// Rules are tried in order and the first that matches wins: those of the file, then DefaultRules. Whatever the rules say, some mail is never taken: mail from
// the null sender, automatic replies, mail that loops, and mail that has been through us already.
//
// # A share of it
//
// Config.Share takes a part of the mail that the rules want taken, for a change of system in steps. A hash of the envelope sender, or
// of each recipient's domain, decides: the same senders are in after a restart and on another host, and a larger share has all
// that were in a smaller one. The rest is left for CauseShare.
//
// # Whose mail it is
//
// Mail that is taken gets a relay.FlowName: the tenant whose conditions it meets, the list or campaign that its header names, the
// sender's domain, and the lane of its rule. Tenants do not decide what is taken. After a restart Intake.Flow makes the name again;
// only the tenant is in the journal, because a login and a listener are not in the mail.
//
// # Another door
//
// Each door speaks one protocol; all else is here. Each has its own way to leave a message: a milter answers "accept", and the SMTP door
// passes on Mail.RawHeader, Mail.RawBody and the rest as it comes, or asks the client to try again. The small door in linedoor_test.go
// shows that a door needs nothing but Intake, Mail and ParseCommand.
package filter
