// Package format is the bytes of the journal and of the snapshots: how each record is written and read again.
//
// FORMAT.md in the directory above has the tables; every type here names the table it follows. The package is a leaf:
// pure functions over bytes. It opens no file, starts no goroutine, holds no lock, and knows no type of the heart, so
// that a record can be tested, fuzzed and dumped without an agent, and a change of relay.Message cannot change a byte.
//
// The order of reading is: ReadHeader tells the version and the salt; a Scan walks over the frames and sorts what does
// not check into damage and torn tail; Decode functions and ReadMarks read the payload of one frame.
//
// # Why
//
// Why positions and ids are plain integers here: the package that gives them a meaning converts at its edge, which costs
// nothing. The rejected way, to decode into relay.Message itself, tied the bytes to a type that other parts change.
//
// Why a decoder that fails softly: a record has up to twenty fields, and a check after each would hide the format. After
// the first field that does not fit, every field reads as zero and the caller asks once.
package format
