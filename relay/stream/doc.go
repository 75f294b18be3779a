// Package stream is the event stream: one JSON record for each thing that happens to mail, for files, webhooks and the console.
// contrib/events.md describes the records field by field.
//
// # One place, many readers
//
// Stream is a relay.Listener. It writes a record into a ring in memory, on the goroutine in which the event happened, and does no more:
// under one mutex some hundred bytes are copied. Each reader has a place of its own in the ring. One that is stuck costs nobody: the
// ring goes on, and the reader finds what it has missed in the file, or is told of a gap by a record.
//
// While nobody reads and no output is configured, records are counted and not written.
//
// # Positions
//
// Each record has a position, the one before it and one. A start goes on at the microseconds since 1970, or above the last position
// in the file if that is higher, so that none is used twice. Records that a file or a reader has for itself alone (gap, totals,
// recovery) have the position of the record before them: whoever resumes behind one of them misses nothing.
//
// # What a crash does
//
// The journal has Flush called before it writes outcomes, so that the file has a record for each outcome that is durable. What a
// crash changes nevertheless is told: a file has the running totals every thousand records, a start counts what stands behind the
// last of them, and compares that with the journal's own totals. The difference is a record of type recovery: with it, the sum of
// the records is what the journal counts. A negative number is an outcome that was recorded here and that the journal has lost: it
// happens again.
//
// # Who runs what
//
// Run has a goroutine for each file, one that compresses what the file has left behind, and one for each webhook. All end with its
// context. Readers of the console run on their own goroutines.
package stream
