// Package mta starts real mail servers for tests: Postfix, Sendmail and the signing milter opendkim. Each runs in a
// directory of its own with its own configuration, queue and log, on free ports of 127.0.0.1. The machine's own
// Postfix, if there is one, is never touched.
//
//	p, err := mta.StartPostfix(t.TempDir(), mta.PostfixConfig{Relay: sinkAddr})
//	defer p.Stop()
//	... send to p.Addr, look into the sink, p.Queue(), p.Log()
//
// All of them must be started by root: a mail server changes its user. test/run installs what is needed; Require
// skips a test where something is missing, and fails it in CI.
package mta
