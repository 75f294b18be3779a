// Package filter is what every door shares: is a message bulk, may it be taken, and what our trace in it looks like.
//
// A door describes a message as an Offer and asks twice: Early when the sender is known, so that mail no rule can
// ever match costs the MTA nothing more, and Decide when the header is there. Between the two it asks Takes about
// each recipient, because the MTA delivers some of them itself.
//
// Rules are tried in order and the first that matches wins. Whatever they say, some mail is never taken: mail from
// the null sender, automatic replies, mail that loops, and mail that has been through us already.
package filter
