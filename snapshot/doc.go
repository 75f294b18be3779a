// Package snapshot is the recovery agent: it makes messages that live in RAM survive a crash.
//
// The journal is a sequence of segments, files that are only appended to. A message is a frame of some hundred bytes in
// the current segment: its own part and its envelope. What it has in common with others, the view of their wrapper and the strings
// of their envelopes, is a frame that all of them in that segment share. Every recipient taken has a
// position in its segment, and the segment's bit vector, in RAM, says which recipients are done. Outcomes are frames too, so
// that the vector can be made again from the disk. A segment whose bits are all set is deleted. The keeper copies the messages
// left in a nearly finished segment into the current segment. Delivery never reads the disk.
//
// A snapshot holds the bit vectors and what the waiting nodes have learned. The keeper copies all vectors under the lock at
// once, and what nodes have learned shard by shard. Nobody waits for a snapshot. Recovery replays the journal from the
// beginning of the segment in which the snapshot was begun. A replay may be repeated: the state is the same.
//
// FORMAT.md beside this file has the promises, every byte, and what each crash leaves behind.
//
// # Parts
//
// Each part knows only the parts below it; nothing calls upwards.
//
//	Agent      the façade: what doors, handlers and the daemon call
//	recovery   reads the journal twice at a start and gives out what is not done
//	keeper     goroutine: snapshots, copying forward, deleting files
//	writer     goroutine: gathers, writes and syncs the commits
//	healer     what is lost when the disk fails, and where to go on
//	tape       the active segment's file, and what was written to it and not synced
//	ledger     where each message is recorded, who is done, what is in doubt
//	draft      the commit in the making, and whether anything can be written
//	kindred    the shared records of a segment that is read, and the wrappers made of them
//	survey     what is in a state directory, before anything is changed, and what had been counted in it
//	ids        message ids
//	batch, segment, entry, roll, doubts, waits, bell, patience    the pieces of the ledger
//	expected         marks that are written before their visits begin
//	gather, alarm    how long a commit waits for others, and what ends the wait
//	room, snapshotroom    what is reserved on the disk, and what a full disk is left with
//	format     the bytes (a package of its own)
//
// # Who may touch what
//
//	ledger, draft, doubts, entries, segments' counters and vectors    ledger.mu
//	waits                                                             a lock for each shard
//	gather                                                            gather.mu, a leaf
//	a batch: until it is sealed                                       ledger.mu
//	a batch: afterwards; tape; healer; the file of a segment          the writer goroutine
//	keeper's generation, retired                                      the keeper goroutine
//	keeper.parts                                                      keeper.mu
//	recovery, claims                                                  the goroutine that called Recover
//	a lot of claims, while it is checked                              one checker
//	kindred.views                                                     kindred.mu, a leaf
//	survey                                                            Open, then Recover
//
// Lock order: ledger.mu, then one shard of waits. keeper.mu is held with no other lock. Under ledger.mu there is no I/O, no
// logging and no channel operation that can block.
//
// # Goroutines
//
// Open starts two, after everything that can fail. The writer ends when Close closes writer.quit, the keeper when Close
// closes keeper.halt; Close waits for each. The keeper ends first, because its last snapshot needs the writer's last commit,
// and because copying forward waits for the writer. The writer tells a door that waits in Take. Close calls
// stopTaking and drains before it closes writer.quit, so no door waits then.
//
// Recover starts as many checkers as there are processors. They read the records of messages that are not done, and end before it
// returns.
//
// # What a crash leaves
//
//	while a commit is written                       any part of it; its messages were not acknowledged (ack = "journal")
//	after the fsync, before the doors have answered  the messages come back as unheard: the MTA offers them again
//	while a segment is made                         a .tmp file, which is removed, or a segment without frames
//	while a visit is under way                      mark 3: the node comes back in doubt, and the mail log names its recipients
//	after a reply, before its outcome is durable    the same
//	while a message is copied                       both places; a copy without its shared part falls back to the old place
//	while a snapshot is written                     the snapshot before, and all segments it needs
//	while files are deleted                         files too many; the next start knows them from the snapshot
//	during recovery                                 the same as before: old segments are only cut at a torn tail
//
// # Words
//
// heard, unheard: the MTA knows, or may not know, that the message is taken. doubt: delivery of a node was started and no
// reply is on record, so the receiver may already have the message. named: the mail log has named the recipients who may get
// a message twice. unwritable: the journal can record nothing now, not even an outcome. blocked: no message is taken now.
//
// # Why
//
// Why no engine: a log-structured store keeps every record under a key, merges, and syncs by its own rules; here nothing
// is ever looked up, the only reader is recovery, and deleting is setting a bit.
//
// Why a position in each mark and no message id: a position is two or three bytes, and it can never fit another message,
// because neither segment numbers nor positions are given out twice.
//
// Why totals stand in commits, and not in the snapshot alone: a graph over counters that fall at a crash lies, and the license
// meter counts by them. A start counts from the last commit that has them, so that every sixteenth is enough: where mail comes slowly
// each message has a commit of its own, and eight numbers are as much as its envelope. The rejected way, to count the marks again at
// a start, is exact only while no segment was deleted.
//
// Why a visit is recorded before the content of its message goes out: after a crash only the mark says which receiver may have
// the message, and "some of the last seconds" is no help to a postmaster. The mark is put into the commit in the making when
// the visit begins. The agent waits for it where the body would be written. Over
// a network the commit is done earlier than that, so the mark costs no time. When a visit will begin as soon as its message is taken
// (relay.Node.Near), the mark comes with the message, in one commit. Where messages leave faster than the disk syncs, agents would wait
// for it with each of them. There the marks of the nodes that go next are written before their visits begin, many in one commit
// (Agent.Expect). If a visit that was expected does not begin within the commit interval, the mark is taken back; a crash before that
// names recipients to whom nothing was sent. The mark also stops deliveries when outcomes cannot be recorded any more. The rejected way, to sync each outcome
// before the next message, costs as much and names nobody.
//
// Why one mutex for the ledger: a take changes positions, frame and entry together, and the critical section is some
// hundred nanoseconds beside an fsync of milliseconds. The rejected way, a lock for each segment, needs two of them whenever
// a message is copied.
//
// Why a commit waits for others: a sync costs the disk and the processor the same for one message as for fifty, and at half load
// each message had one sync of its own and another for its mark. The wait is no longer than a sync takes, needs askers at that
// rate, and ends when as many have asked as waited at the last sync, so one door alone never waits. Doors that take turns wait
// less than before: without the wait, one half of them always waits for the sync of the other. The rejected way, a fixed wait, makes
// a lone message late; a wait for a number of sessions that the doors announce would have to know which of them are about to ask.
//
// Why two snapshots are kept, and segments one snapshot longer than needed: when the newest snapshot is unreadable, the one
// before still fits the files that are there.
//
// Why a broken segment is left at once and not repaired: after a failed fsync nobody knows which of its pages the disk
// has. The next segment's header says up to where the broken one may be believed: to where the last successful fsync
// reached, so that a message that was refused cannot come back.
package snapshot
