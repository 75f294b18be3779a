// Package sink is a receiving mail server for tests, load tools and the demo: it speaks SMTP (or LMTP) on as many
// listeners as asked for, each with a Character of its own, and keeps a ledger of every message it took.
//
// It is written for two things a normal server is bad at: speed, so that the sender is what a benchmark measures, and
// faults, so that every way a receiver can misbehave can be had on demand. A delivery is in the ledger before the
// sender hears 250; whoever counts the ledger therefore counts at least what was acknowledged.
//
//	s, err := sink.New(sink.Config{})
//	addr, err := s.Listen("127.0.0.1:0", sink.Character{Name: "grey.test", Greylist: time.Minute})
//	...
//	for d := range s.All() { ... }
//	s.Close()
package sink
