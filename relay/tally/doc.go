// Package tally counts what becomes of mail, for the installation and by tenant, campaign and site, so that the numbers go on over a
// restart: the journal appends what has changed to the commit that makes it durable.
//
// # What is counted where
//
// A message taken, and each recipient's fate, count for the campaign of the message (its relay.FlowName, urgent or not), for its tenant
// and for the installation; a fate also for the site that was visited. The count of a commit and the marks of the same commit are durable
// together or not at all, so that after a crash they agree, and no recipient counts twice as sent. Mail of relay.ClassInject, our own
// notifications, has counters of its own and counts nowhere else. A message that our MTA gets back is mail of its campaign: the recipient
// counts as handed back there, and never as sent.
//
// # What is bounded
//
// Config.Campaigns campaigns and maxSites sites have counters of their own. Of more sites, the one that was used the longest ago is
// folded into "other". Of more campaigns, one that has no mail left is folded into the rest of its tenant, the oldest first; while all
// have mail left, the new one counts as a part of the rest. Sums over all campaigns, rests included, are always those of the installation.
//
// # Who calls what
//
// Taken, Count, Append and Snapshot are called with the journal's lock held. The Tally has a mutex of its own, under which nothing else
// is locked and no I/O is done, and allocates nothing for a key that it knows. FORMAT in record.go describes the bytes.
package tally
