// Package mta starts real mail servers for tests: Postfix, Sendmail and the signing milter opendkim. Each runs in a
// directory of its own with its own configuration, queue and log, on free ports of 127.0.0.1. A Postfix that belongs
// to the machine is never touched.
//
//	p, err := mta.StartPostfix(t.TempDir(), mta.PostfixConfig{Relay: sinkAddr})
//	defer p.Stop()
//	... send to p.Addr, look into the sink, p.Queue(), p.Log()
//
// All of them must be started by root, because a mail server changes its user. test/run installs the programs. Require
// skips a test where a program is missing, and fails it in CI.
package mta
