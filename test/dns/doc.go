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
// It behaves as a recursive server does towards its clients: it follows CNAME
// records inside its own data, answers NXDOMAIN or an empty answer with a SOA
// record, and truncates what does not fit into the client's UDP buffer.
package dns
