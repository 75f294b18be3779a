// Package sink is a receiving mail server for tests, load tools and the demo. It speaks SMTP or LMTP on any number of
// listeners, each with a Character of its own, and keeps a ledger of all messages it has taken.
//
// It does two things that a normal server is bad at. It is fast, so that a benchmark measures the sender and not the
// receiver. And it misbehaves on demand, in every way a receiver can. A delivery is in the ledger before the sender
// hears 250, so the ledger never holds less than was acknowledged.
//
//	s, err := sink.New(sink.Config{})
//	addr, err := s.Listen("127.0.0.1:0", sink.Character{Name: "grey.test", Greylist: time.Minute})
//	...
//	for d := range s.All() { ... }
//	s.Close()
package sink
