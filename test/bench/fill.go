package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/letters"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/scenario"
)

// waitingZone is the parent of all domains whose mail waits: nobody listens where it goes.
const waitingZone = "wait.test"

// patient is the configuration of a daemon that tries such a domain once.
const patient = "retry.schedule = [\"12h\"]\npool.closed_for = [\"6h\"]\n"

// store is a daemon that mail waits in. What is for other domains than those of waitingZone goes to its sink.
type store struct {
	*scenario.Millrace
	to    *far
	entry string        // of the SMTP door
	rests time.Duration // how long its memory comes to rest

	profile *profiled
}

// newStore configures and starts a store in a folder of that name.
func (b *rowBench) newStore(name string) (*store, error) { return b.newStoreWith(name, "") }

// newStoreWith is newStore with more lines of configuration.
func (b *rowBench) newStoreWith(name, more string) (*store, error) {
	shut, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	s := &store{rests: 3 * time.Second}
	if b.quick {
		s.rests = 0
	}
	if s.entry, err = process.FreeAddr(); err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, name)
	if s.to, err = startSink(dir, false); err != nil {
		return nil, err
	}
	config := roomy + patient + fmt.Sprintf("[smtpd]\nsubmission = [\"inet:%s\"]\n", s.entry) +
		fmt.Sprintf("[route]\n\".%s\" = %q\n\"*\" = %q\n", waitingZone, daemon.NextHop(shut), daemon.NextHop(s.to.addr)) + more
	if s.Millrace, err = scenario.NewMillrace(b.bin, dir, "127.0.0.1:1", config); err != nil {
		return nil, errors.Join(err, s.to.close())
	}
	if s.profile, err = b.profiled(s.Daemon, name); err == nil {
		err = s.Start()
	}
	if err == nil {
		_, err = s.Recovered()
	}
	if err != nil {
		return nil, errors.Join(err, s.to.close())
	}
	return s, nil
}

// meter measures what the daemon does.
func (s *store) meter() meter {
	return meter{used: []func() (time.Duration, error){s.CPU}, daemon: s, profile: s.profile}
}

// end ends the store and its sink. Nobody needs what waits.
func (s *store) end() error { return errors.Join(s.Kill(), s.to.close()) }

// feed hands in messages at the SMTP door and returns when all were taken.
func (s *store) feed(messages int, piece func(i int, scratch []byte) piece) error {
	return (&blaster{addr: s.entry, conns: 20, messages: messages, piece: piece}).run()
}

// resident is the resident memory when it has come to rest: the collector gives back pages for a while.
func (s *store) resident() (int64, error) {
	st, err := s.Status()
	if err != nil {
		return 0, err
	}
	time.Sleep(s.rests)
	return resident(st.PID)
}

// letterTo is the i-th message of the shapes in turn, to a reader in one of so many domains of a zone. The field that a door adds
// is not in it yet.
func letterTo(shapes []letters.Shape, domains int, zone string) func(i int, scratch []byte) piece {
	return func(i int, scratch []byte) piece {
		s := shapes[i%len(shapes)]
		message := withoutTrace(s.Message(i))
		head := scratch
		for line := range strings.SplitAfterSeq(string(message), "\n") { // dots are stuffed
			if strings.HasPrefix(line, ".") {
				head = append(head, '.')
			}
			head = append(head, line...)
		}
		return piece{from: fmt.Sprintf("news+%d@%s.test", i, s.Name), rcpt: fmt.Sprintf("user%d@d%d.%s", i, i%domains, zone), head: head}
	}
}

// withoutTrace is a message without its first field and the lines that belong to it.
func withoutTrace(message []byte) []byte {
	for i := 1; i < len(message); i++ {
		if message[i-1] == '\n' && message[i] != ' ' && message[i] != '\t' {
			return message[i:]
		}
	}
	return nil
}
