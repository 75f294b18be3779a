// Package snapshot is the recovery agent: it makes messages that live in RAM survive a crash.
//
// The journal is a sequence of segments, files that are only appended to. A message is a frame of some hundred bytes in
// the current segment, and its body a frame that all its messages in that segment share. Every recipient taken has a
// position in its segment, and the segment's bit vector, in RAM, says who is done. Outcomes are frames too, so that the
// vector can be made again from the disk. A segment whose bits are all set is deleted; what is left in one that is nearly
// finished is copied into the current one. Delivery never reads the disk.
//
// One goroutine, the writer, gathers what many doors give it while the disk is busy with the commit before, and writes it
// in one write and one fsync: see writer.go for the commit, heal.go for what happens when the disk fails. Another, the keeper,
// writes a snapshot at times: the bit vectors, and what is soft. A snapshot is written from a copy of the vectors, made
// in one short moment, and from the soft state shard by shard, so that nobody waits for it. Replaying the journal from
// the beginning of the segment in which the snapshot was begun leads to the same state however often it is done.
//
// FORMAT.md beside this file has the promises, every byte, and what each crash leaves behind.
//
// # Why
//
// Why no engine: a log-structured store keeps every record under a key, merges, and syncs by its own rules; here nothing
// is ever looked up, the only reader is recovery, and to delete is to set a bit.
//
// Why a number in each mark and no message id: a position is two or three bytes, and it can never fit another message,
// because neither numbers of segments nor positions are given out twice.
//
// Why a visit is recorded before the end of its message goes out: after a crash nobody else could say whose receiver may
// have answered unheard, and "some of the last seconds" is no help to a postmaster. The mark is put into the commit in the
// making when the node leaves its queue, and is waited for where the body would be written, which over a network is later
// than the commit; so it costs no time there, and with a receiver on the same host a few per cent. It also is what stops
// deliveries when outcomes cannot be recorded any more. The rejected other way, to sync each outcome before the next
// message, costs as much and names nobody.
//
// Why two snapshots are kept, and segments one snapshot longer than needed: with the newest unreadable, the one before
// still fits the files that are there.
//
// Why a broken segment is left at once and not repaired: after a failed fsync nobody knows which of its pages the disk
// has. The next segment's header says up to where it is to be believed, which is where the last fsync that succeeded
// reached, so that what was refused can not come back.
package snapshot
