package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/snapshot"
	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/sink"
)

// patience bounds everything that should take a moment.
const patience = daemon.Patience

// commitInterval is the daemon's.
const commitInterval = 20 * time.Millisecond

// sandbox is what a crash run works in: a daemon between an MTA and an internet that both belong to the harness, and survive it.
type sandbox struct {
	dir     string
	sink    *sink.Sink // the receivers
	mta     *sink.Sink // where the MTA takes notifications from the daemon
	ledger  *ledger
	daemon  *daemon.Daemon
	state   string // the daemon's state directory
	crashes []*crash
	events  []event
	told    []named // in place of a mail log, for tests without a daemon
	result  Result
}

// event is something done to the daemon that excuses nothing, but may explain much.
type event struct {
	what         string
	begin, until time.Time
}

// options are what a sandbox is made of.
type options struct {
	bin    string
	dir    string   // of its own
	state  string   // state directory; "": below dir
	env    []string // of the daemon
	config string   // more lines
	tap    *tap
	shut   bool // the receivers cannot be reached: nothing is delivered
}

func newSandbox(o options) (*sandbox, error) {
	if err := os.MkdirAll(o.dir, 0o755); err != nil {
		return nil, err
	}
	if o.state == "" {
		o.state = filepath.Join(o.dir, "state")
	}
	s := &sandbox{dir: o.dir, state: o.state, daemon: daemon.New(o.bin, o.dir)}
	s.daemon.Env = o.env
	s.through(o.tap)
	var err error
	if s.ledger, err = newLedger(filepath.Join(o.dir, "ledger")); err != nil {
		return nil, err
	}
	if s.sink, err = sink.New(sink.Config{}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.mta, err = sink.New(sink.Config{Keep: true}); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.configure(o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// configure opens the receivers and writes the daemon's configuration.
func (s *sandbox) configure(o options) error {
	routes := ""
	for domain, is := range map[string]sink.Character{
		domains[0]: {}, domains[1]: {Delay: time.Millisecond}, domains[2]: {Greylist: 150 * time.Millisecond},
	} {
		is.Name, is.Refuse = listenerName, isRefused
		hop, err := listen(s.sink, is)
		if err != nil {
			return err
		}
		if o.shut {
			hop = "[127.0.0.1]:1"
		}
		routes += fmt.Sprintf("%q = %q\n", domain, hop)
	}
	inject, err := listen(s.mta, sink.Character{Name: listenerName})
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`hostname = "millrace.test"
state_dir = %q
mode = "deliver"
milter.listen = [%q]
bounce.inject = %q
bounce.delay = "100ms"
control.socket = %q
log.mail = %q
retry.schedule = ["200ms"]
pool.tls = "none"
pool.closed_for = ["200ms"]
ack = "journal"
journal.commit_interval = %q
journal.segment_bytes = 262144
snapshot.interval = "1s"
%s
[route]
%s`, s.state, "unix:"+s.door(), inject, s.daemon.Socket(), s.daemon.MailLogFile(), commitInterval, o.config, routes)
	return s.daemon.Configure(text)
}

// door is the socket where the daemon takes mail.
func (s *sandbox) door() string { return filepath.Join(s.dir, "milter.sock") }

// through has the system calls of the daemon's next starts pass through t, and returns it; nil: they pass freely.
func (s *sandbox) through(t *tap) *tap {
	s.daemon.Launch = nil
	if t != nil {
		t.state, s.daemon.Launch = s.state, t.launch
	}
	return t
}

const listenerName = "receiver.test"

// listen returns the address as a next hop that is not looked up.
func listen(s *sink.Sink, is sink.Character) (string, error) {
	addr, err := s.Listen("127.0.0.1:0", is)
	if err != nil {
		return "", err
	}
	return daemon.NextHop(addr.String()), nil
}

// arrived is how many recipients got a message, or were reported to its sender.
func (s *sandbox) arrived() int { return s.sink.Count() + s.mta.Count() }

// quiet waits until the receivers have read what a dead daemon had sent.
func (s *sandbox) quiet() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if s.sink.Counts(listenerName).Open+s.mta.Counts(listenerName).Open == 0 {
			return nil
		}
	}
	return errors.New("connections of a dead daemon stay open")
}

// end kills the daemon if it runs.
func (s *sandbox) end() error {
	if s.daemon.Over() {
		return nil
	}
	return s.daemon.Kill()
}

// close ends everything.
func (s *sandbox) close() error {
	err := s.end()
	if s.sink != nil {
		err = errors.Join(err, s.sink.Close())
	}
	if s.mta != nil {
		err = errors.Join(err, s.mta.Close())
	}
	return errors.Join(err, s.ledger.close())
}

// recover starts the daemon and checks that neither it nor the verifier says something is damaged: a crash damages nothing.
func (s *sandbox) recover() error {
	s.verify()
	if err := s.daemon.Start(); err != nil {
		return err
	}
	journal, err := s.daemon.Recovered()
	if err != nil {
		return err
	}
	if r := journal.Recovery; !r.Healthy() {
		s.result.violate("after crash %d the daemon says its journal is damaged, or mail is missing: %s; %v %v %v", len(s.crashes), r.String(), r.Damaged, r.Lost, r.Missing)
	}
	return nil
}

// verify reads the state directory as it was left.
func (s *sandbox) verify() {
	if _, err := os.Stat(filepath.Join(s.state, "journal")); err != nil {
		return // nothing was ever taken
	}
	if err := snapshot.Verify(s.state); err != nil {
		s.result.violate("after crash %d the state directory does not verify: %v", len(s.crashes), err)
	}
}

// drain waits until nothing waits any more.
func (s *sandbox) drain() error {
	last, since := int64(-1), time.Now()
	for {
		st, err := s.daemon.Status()
		if err != nil {
			return errors.Join(s.daemon.Ended(), fmt.Errorf("drain: %w", err))
		}
		if st.Messages == 0 {
			return nil
		}
		if n := st.Sent + st.Bounced + st.Deferrals; n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("%d messages wait and nothing has moved for %s", st.Messages, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// waiting lists the recipients that wait, by the sender of their message.
func (s *sandbox) waiting() (map[pair]bool, error) {
	c := console.NewClient(s.daemon.Socket())
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	all := make(map[pair]bool)
	for l, err := range c.Messages(ctx, console.Filter{}) {
		if err != nil {
			return nil, err
		}
		if id, ok := idOfSender(l.Sender); ok {
			for _, r := range l.Recipients {
				all[pair{id, r.Address}] = true
			}
		}
	}
	return all, nil
}

// finish drains, stops, and looks whether a start after that finds anything left to do.
func (s *sandbox) finish() error {
	if err := s.drain(); err != nil {
		waiting, lerr := s.waiting()
		if lerr != nil {
			return errors.Join(err, lerr)
		}
		s.result.violate("%v", err)
		s.balance(waiting)
		return nil
	}
	if err := s.daemon.Stop(patience); err != nil {
		s.result.violate("stop: %v", err)
	}
	if err := s.recover(); err != nil {
		return err
	}
	if journal, err := s.daemon.Journal(); err != nil || journal.Recovery.Messages != 0 || !journal.Recovery.Clean {
		s.result.violate("a start after a clean stop with nothing left found %+v, %v", journal.Recovery, err)
	}
	if err := s.daemon.Stop(patience); err != nil {
		s.result.violate("stop: %v", err)
	}
	s.balance(nil)
	return nil
}
