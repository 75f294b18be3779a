// Package rescue takes over the backlog of a stuck Postfix: mail that is deferred already, and that no door will ever be offered.
//
// # How the mail comes
//
// Postfix brings it, by a transport of its own, and nobody else touches its queue. A rescue adds one table in front of transport_maps,
// with one line for each recipient whose mail is carried, and one service in master.cf that speaks LMTP to Millrace's door for filters.
// Postfix looks a recipient's route up each time a message becomes active, so a flush brings the whole backlog, and "postsuper -r" is not
// needed. At the end both files are put back byte for byte.
//
// The table has whole addresses, because transport_maps decides about all mail: a line for a domain would lead its new mail to Millrace
// too, and a wrong line would lead mail for a mailbox of this host away from it. New mail goes on as before, but for mail to somebody
// who has mail in the backlog.
//
// # What cannot be carried stays
//
// The transport names itself in LHLO (smtpd.RescueName). The door then takes what it can, whatever the rules say, and answers all else
// with a temporary failure, even what it refuses for good elsewhere. The service has soft_bounce besides. So what is not taken stays in
// Postfix's queue, and goes its usual way when the files are put back.
//
// # When it breaks off
//
// Both files are made ready and written down together with the old ones before the first is changed (type record). Whatever happens
// later, each file is the old one or the new one, and the next rescue, or --undo, puts the old ones back. A file that somebody else has
// changed meanwhile is not put back as a whole: only our settings are taken out of it.
//
// What is kept stands in a directory of root beside main.cf, and not in Millrace's state directory, which belongs to another user: he
// could write main.cf by it.
package rescue
