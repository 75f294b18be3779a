// Package dns is a name server for tests and demonstrations: it listens on the
// loopback address, UDP and TCP, answers from zones given as plain text, and
// misbehaves on command.
//
//	s, err := dns.New(`
//		example.test.      MX 10 mx1.example.test.
//		mx1.example.test.  A  192.0.2.1
//	`)
//	s.Fault("slow.test.", dns.Fault{Kind: dns.Timeout})
//	defer s.Close()
//
// Towards its clients it behaves as a recursive server: it follows CNAME
// records inside its own data, adds a SOA record to a negative answer, and
// truncates an answer that does not fit into the client's UDP buffer.
package dns
