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

// sandbox is what a crash run works in: a daemon between an MTA and receivers. Both belong to
// the harness and survive the daemon.
type sandbox struct {
	dir     string
	sink    *sink.Sink // the receivers
	mta     *sink.Sink // the MTA's listener for notifications from the daemon
	behind  *sink.Sink // and its listener for what the SMTP door does not take
	ledger  *ledger
	daemon  *daemon.Daemon
	state   string // the daemon's state directory
	crashes []*crash
	events  []event
	admin   *admin  // nil: nobody gives orders
	told    []named // stands in for the mail log in tests without a daemon
	result  Result
}

// event is something done to the daemon that excuses no duplicate. It is shown beside a duplicate all the same, because
// it may explain it.
type event struct {
	what         string
	begin, until time.Time
}

// options are what a sandbox is made of.
type options struct {
	bin    string
	dir    string   // a directory of its own; "": made below the working directory
	state  string   // the state directory; "": below dir
	env    []string // more environment variables of the daemon
	config string   // more lines of the configuration
	tap    *tap
	shut   bool // the receivers cannot be reached, so that nothing is delivered
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
	if s.behind, err = sink.New(sink.Config{}); err != nil {
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
	reinject, err := listen(s.behind, sink.Character{Name: listenerName})
	if err != nil {
		return err
	}
	text := fmt.Sprintf(`hostname = "millrace.test"
state_dir = %q
mode = "deliver"
milter.listen = [%q]
smtpd.filter = [%q]
smtpd.reinject = %q
bulk.local_domains = ["local.test"]
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
[[events.file]]
path = %q
max_size = 1_000_000_000 # one file: see sums.read
[route]
%s`, s.state, "unix:"+s.door(), "unix:"+s.letterbox(), reinject, inject, s.daemon.Socket(), s.daemon.MailLogFile(), commitInterval, o.config, s.record(), routes)
	return s.daemon.Configure(text)
}

// door is the socket where the daemon takes mail.
func (s *sandbox) door() string { return filepath.Join(s.dir, "milter.sock") }

// record is the file of the event stream.
func (s *sandbox) record() string { return filepath.Join(s.dir, "events.json") }

// letterbox is the socket of the SMTP door.
func (s *sandbox) letterbox() string { return filepath.Join(s.dir, "letters.sock") }

// through puts the daemon's next starts under t and returns t. With nil the system calls pass freely again.
func (s *sandbox) through(t *tap) *tap {
	s.daemon.Launch = nil
	if t != nil {
		t.state, s.daemon.Launch = s.state, t.launch
	}
	return t
}

const listenerName = "receiver.test"

// listen opens a listener and returns its address as a next hop.
func listen(s *sink.Sink, is sink.Character) (string, error) {
	addr, err := s.Listen("127.0.0.1:0", is)
	if err != nil {
		return "", err
	}
	return daemon.NextHop(addr.String()), nil
}

// arrived counts the recipients who got a message or were reported to its sender, or whose message an admin has deleted.
func (s *sandbox) arrived() int {
	n := s.sink.Count() + s.mta.Count()
	if s.admin != nil {
		n += int(s.admin.gone.Load())
	}
	return n
}

// quiet waits until the receivers have read all that a dead daemon had sent.
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

// close ends the daemon, the receivers and the ledger.
func (s *sandbox) close() error {
	err := s.end()
	if s.sink != nil {
		err = errors.Join(err, s.sink.Close())
	}
	if s.mta != nil {
		err = errors.Join(err, s.mta.Close())
	}
	if s.behind != nil {
		err = errors.Join(err, s.behind.Close())
	}
	return errors.Join(err, s.ledger.close())
}

// recover starts the daemon. A crash damages nothing, so neither the daemon nor snapshot.Verify may report damage.
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
		s.result.violate("after crash %d the daemon says that its journal is damaged or that mail is missing: %s; %v %v %v", len(s.crashes), r.String(), r.Damaged, r.Lost, r.Missing)
	}
	return nil
}

// verify has snapshot.Verify check the state directory as the daemon left it.
func (s *sandbox) verify() {
	if _, err := os.Stat(filepath.Join(s.state, "journal")); err != nil {
		return // the daemon has never taken a message
	}
	if err := snapshot.Verify(s.state); err != nil {
		s.result.violate("after crash %d the state directory does not verify: %v", len(s.crashes), err)
	}
}

// drain waits until no message waits in the daemon. It gives up when nothing has moved for the length of patience.
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
		if n := st.Sent + st.Bounced + st.Deferrals + st.NoticesSent + st.NoticesLost; n != last {
			last, since = n, time.Now()
		}
		if time.Since(since) > patience {
			return fmt.Errorf("%d messages wait and nothing has moved for %s", st.Messages, patience)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// waiting returns the recipients whose messages wait in the daemon.
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

// finish drains the daemon, stops it, starts it again, and balances the books. The last start must find a clean stop
// and no message.
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
	journal, err := s.daemon.Journal()
	if err != nil || journal.Recovery.Messages != 0 || !journal.Recovery.Clean {
		s.result.violate("a start after a clean stop with nothing left found %+v, %v", journal.Recovery, err)
	}
	st, err := s.daemon.Status()
	if err != nil {
		return err
	}
	if err := s.daemon.Stop(patience); err != nil {
		s.result.violate("stop: %v", err)
	}
	s.balance(nil)
	all, err := s.sum(st.Totals)
	if err == nil {
		all.agree(&s.result)
		all.balanced(&s.result)
	}
	return err
}
