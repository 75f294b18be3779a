package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// lookupsBench sends mail of many campaigns through a daemon, and asks it afterwards what became of the mail: by the command line, which
// is what an admin waits for.
type lookupsBench struct{ rows rowBench }

const (
	lookupTimes = 5    // each question is asked so often; the slowest answer counts
	lookupGoal  = 0.2  // seconds
	campaigns   = 1000 // of the mail
)

// run sends the mail and asks.
func (b *lookupsBench) run(write func(figure) error) (err error) {
	messages := b.rows.count(1_000_000, 2000)
	s, err := b.rows.newStoreWith("lookups", "")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.feed(messages, ofCampaigns); err != nil {
		return err
	}
	if _, err := s.to.when(int64(messages), time.Hour); err != nil {
		return err
	}
	return b.ask(s, messages, write)
}

// ofCampaigns is the i-th message, of one of the campaigns in turn.
func ofCampaigns(i int, scratch []byte) piece {
	c := i % campaigns
	head := fmt.Appendf(scratch, "From: News <news@shop%d.test>\r\nTo: user%d@far%d.test\r\nSubject: News\r\nMessage-ID: <%d@shop%d.test>\r\n"+
		"List-Id: <%s>\r\nList-Unsubscribe: <https://shop%d.test/u/%d>\r\nPrecedence: bulk\r\n\r\nHello, reader %d.\r\n", c, i, i%100, i, c, campaignOf(c), c, i, i)
	return piece{from: fmt.Sprintf("news+%d@shop%d.test", i, c), rcpt: fmt.Sprintf("user%d@far%d.test", i, i%100), head: head}
}

func campaignOf(c int) string { return fmt.Sprintf("campaign%d.shop%d.test", c, c) }

// ask measures the answers, and what the daemon needs to give them.
func (b *lookupsBench) ask(s *store, messages int, write func(figure) error) error {
	i := messages / 3
	rcpt := fmt.Sprintf("user%d@far%d.test", i, i%100)
	id, err := b.idOf(s, rcpt)
	if err != nil {
		return err
	}
	for _, q := range []struct {
		what    string
		command []string
	}{
		{"campaigns", []string{"campaigns"}},
		{"campaign show", []string{"campaign", "show", campaignOf(i % campaigns)}},
		{"trace by recipient", []string{"trace", rcpt}},
		{"trace by id", []string{"trace", id}},
		{"trace by Message-ID", []string{"trace", fmt.Sprintf("<%d@shop%d.test>", i, i%campaigns)}},
	} {
		took, err := b.slowest(s, q.command)
		if err != nil {
			return err
		}
		name := fmt.Sprintf("%d messages of %d campaigns have left: seconds until \"%s\" has answered", messages, campaigns, q.what)
		if err := write(atMost(15, name, took.Seconds(), lookupGoal, "")); err != nil {
			return err
		}
	}
	held, err := s.resident()
	if err != nil {
		return err
	}
	disk, err := sizeOf(filepath.Join(s.StateDir(), "history"))
	if err != nil {
		return err
	}
	n := float64(messages)
	return errors.Join(write(beside(15, "bytes of disk a message in the history", float64(disk)/n, "")),
		write(beside(15, "MB of resident memory at the end", float64(held)/1e6, "")))
}

// slowest is the time of the slowest answer to a command.
func (b *lookupsBench) slowest(s *store, command []string) (slowest time.Duration, err error) {
	for range lookupTimes {
		begin := time.Now()
		out, err := b.millrace(s, command...)
		if err != nil {
			return 0, err
		}
		if len(bytes.TrimSpace(out)) == 0 {
			return 0, fmt.Errorf("millrace %v says nothing", command)
		}
		slowest = max(slowest, time.Since(begin))
	}
	return slowest, nil
}

// idOf is the id under which the daemon knew the message of a recipient.
func (b *lookupsBench) idOf(s *store, rcpt string) (string, error) {
	out, err := b.millrace(s, "trace", rcpt, "--json")
	if err != nil {
		return "", err
	}
	var report struct {
		Messages []struct{ ID string }
	}
	if err := json.Unmarshal(out, &report); err != nil || len(report.Messages) != 1 {
		return "", fmt.Errorf("trace %s: %w: %s", rcpt, err, out)
	}
	return report.Messages[0].ID, nil
}

// millrace runs a command of the daemon's own program.
func (b *lookupsBench) millrace(s *store, args ...string) ([]byte, error) {
	cmd := exec.Command(b.rows.bin, append(args, "-c", s.Config())...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("millrace %v: %w", args, err)
	}
	return out, nil
}

// sizeOf is the size of all files in a folder.
func sizeOf(dir string) (sum int64, err error) {
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	return sum, err
}
