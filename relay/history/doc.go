// Package history keeps for a while what became of each message: who brought it, every answer of a receiver, and its end. A message
// leaves memory and journal with its last recipient; the history answers for it from then on, by recipient, by queue id and by
// Message-ID.
//
// # Who runs what
//
// History is a relay.Listener. Event copies an event into a bounded buffer, a note, and never waits. One goroutine, Run, turns notes
// into records and appends them to a segment, once a second at the latest. Flush does the same for whoever must have them written
// now, as far as write(2) alone does it. Find reads the files again, with pread alone: it keeps nothing in memory, and holds a lock
// only while it looks at the index of the segment that is being written.
//
// # What is on the disk
//
// A segment is a file of at most 16 MiB, NNNNNNNN.seg. It begins with a header:
//
//	magic     8 bytes   "MILLHIST"
//	version   1 byte    1
//	zero      3 bytes
//	base      8 bytes   Unix milliseconds; times in the records are relative to it
//	first     8 bytes   the id of a message; ids in the records are relative to it
//	sum       4 bytes   CRC32C of the 28 bytes before
//
// Numbers of fixed size are big-endian, all others are varints, signed ones in zigzag. Behind the header come frames:
//
//	mark      1 byte    D7
//	length    varint    of the payload; 1 to 65536
//	payload
//	sum       4 bytes   CRC32C of length and payload
//
// The first byte of a payload says what it is:
//
//	1 text      a string that others refer to, by the offset of its frame
//	2 taken     time · id · flags · size · ms since arrival · queue id · context · sender · Message-ID · total of recipients ·
//	            number of the first · how many · each address
//	3 settled   time · id · number of the recipient · outcome with flags · code · place · reply · uses of the connection · 4 delays in ms
//	4 reported  time · id · number of the recipient · name of the notification
//	5 doubt     time · id · number of the recipient · why: 0 the MTA may offer it again, 1 the daemon ended while it was sent
//	6 gap       time · how many events are missing · since
//
// A string in a record begins with a varint v. v modulo 4 says how it goes on, n is v / 4:
//
//	0   n bytes
//	1   the text at offset n
//	2   n bytes, and then the text at the offset that follows as a varint
//	3   the text at offset n, and then a varint and so many bytes
//
// A string gets a text when it is seen for the second time in a segment; so what is different in each message costs no text.
//
// The index of a closed segment is a second file, NNNNNNNN.idx:
//
//	magic     8 bytes   "MILLHIDX"
//	version   1 byte    1
//	bits      1 byte    of the table
//	zero      2 bytes
//	entries   4 bytes   how many
//	size      4 bytes   of the segment
//	oldest, newest      8 bytes each, Unix milliseconds
//	sum       4 bytes   CRC32C of the 36 bytes before
//	table     4 bytes for each value of the upper bits of a key, and one more: where its entries begin
//	entries   8 bytes each, sorted: the upper 40 bits of a key, and 24 bits for the offset of a record
//
// A key is a 64-bit hash of a recipient in lower case, of the MTA's queue id, of a Message-ID, or of our own id. A record is read and
// compared before it is believed, so that equal keys do no harm.
//
// # When something goes wrong
//
// Killed: what was not written is lost; a frame that was cut is cut off at the next start, and the log says so. Damage in the
// middle of a segment costs the records in it, or a text in all records that refer to it: the reader goes on at the next mark
// whose frame checks. An index that is missing is made again from its segment. A file of a newer version is left alone. Disk
// full: events are counted and not kept, and the log and a gap record say how many; before the disk is full, the history gives
// up its oldest segments. No file is synced but a closed segment and its index: a power cut may cost the last seconds.
//
// Records stand in the order in which they were written. A clock that is set back puts nothing in another order. A segment is as old as
// the youngest segment behind it says, whatever a wrong clock has written into it. Nothing is removed as over in the first ten minutes
// of a run: a clock that is far ahead after a boot may be set right until then.
package history
