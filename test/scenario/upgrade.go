package scenario

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/test/load"
)

// Upgrades is a campaign while the daemon gives way to the program on disk again and again.
type Upgrades struct {
	Report     load.Report
	Done       int             // upgrades
	Longest    time.Duration   // that one of them took
	Comparison load.Comparison // of what was sent with what has arrived
	Taken      int             // arrivals by way of Millrace
	Deferred   int             // deliveries that Postfix has put off
	Complaints []string        // lines of Postfix's log about its milter, or about a connection to the door
}

// Upgrade sends a campaign and has the daemon upgraded n times meanwhile, with a pause between. Messages are sent once: what is refused
// stays so. It returns when all that was acknowledged has arrived.
func (s *Scene) Upgrade(ctx context.Context, c load.Config, n int, pause time.Duration) (u Upgrades, err error) {
	c.Addr, c.Attempts = s.Entry(), 1
	done := make(chan error, 1)
	go func() { done <- s.upgrades(ctx, n, pause, &u) }() // ends with the last upgrade
	part := c
	for over := false; !over; {
		r, err := load.Run(ctx, part)
		if err != nil {
			return u, errors.Join(err, <-done)
		}
		u.Report.Records = append(u.Report.Records, r.Records...)
		part.First += c.Messages
		select {
		case err := <-done:
			if err != nil {
				return u, err
			}
			over = true
		default: // more mail until the last upgrade
		}
	}
	if err := s.settle(ctx, u.Report); err != nil {
		return u, err
	}
	u.Comparison = load.Compare(u.Report.Records, s.Sink.All())
	for d := range s.Sink.All() {
		if d.Listener == "bulk" {
			u.Taken++
		}
	}
	return u, s.complaints(&u)
}

func (s *Scene) upgrades(ctx context.Context, n int, pause time.Duration, u *Upgrades) error {
	for range n {
		wait(ctx, pause)
		begin := time.Now()
		if text, err := s.Millrace.Run("upgrade"); err != nil {
			return fmt.Errorf("upgrade %d: %w: %s", u.Done+1, err, text)
		}
		u.Longest = max(u.Longest, time.Since(begin))
		u.Done++
	}
	return nil
}

// complaint is a line of Postfix that would not be there if nothing had happened.
var complaint = regexp.MustCompile(`warning: .*milter|milter-reject|status=(deferred|bounced)|lost connection with 127|conversation with|[Cc]onnection (refused|timed out|reset)|suspended`)

func (s *Scene) complaints(u *Upgrades) error {
	log, err := s.Postfix.Log()
	if err != nil {
		return err
	}
	for line := range strings.Lines(log) {
		if strings.Contains(line, "status=deferred") {
			u.Deferred++
		}
		if complaint.MatchString(line) {
			u.Complaints = append(u.Complaints, strings.TrimSpace(line))
		}
	}
	return nil
}

// Refused is how many messages the clients were refused.
func (u *Upgrades) Refused() int { return len(u.Report.Records) - u.Report.Acked() }

// Noticed is how many times somebody has noticed an upgrade.
func (u *Upgrades) Noticed() int {
	c := &u.Comparison
	return len(u.Complaints) + u.Refused() + len(c.Lost) + len(c.Duplicated) + len(c.Altered) + len(c.Phantom) + len(c.Misdelivered)
}

// Err says what somebody has noticed, or returns nil.
func (u *Upgrades) Err() error {
	if len(u.Complaints)+u.Refused()+u.Deferred == 0 {
		return u.Comparison.Err()
	}
	first := ""
	for _, r := range u.Report.Records {
		if !r.Acked {
			first = r.Reply
			break
		}
	}
	if len(u.Complaints) > 0 {
		first = u.Complaints[0]
	}
	return errors.Join(fmt.Errorf("%s; %s", u, first), u.Comparison.Err())
}

// String is the numbers on one line.
func (u *Upgrades) String() string {
	return fmt.Sprintf("%d messages, %d upgrades, the longest in %v: %d refused, %d deferred by Postfix, %d complaints, %d lost, %d duplicates, %d altered; %d by Millrace",
		len(u.Report.Records), u.Done, u.Longest.Round(time.Millisecond), u.Refused(), u.Deferred, len(u.Complaints),
		len(u.Comparison.Lost), len(u.Comparison.Duplicated), len(u.Comparison.Altered)+len(u.Comparison.Phantom), u.Taken)
}

// Activated starts a command with sockets that are open already, as systemd does.
func Activated(sockets []*os.File) func(*exec.Cmd) error {
	return func(cmd *exec.Cmd) error {
		cmd.ExtraFiles = sockets
		cmd.Env = append(cmd.Env, "LISTEN_FDS="+strconv.Itoa(len(sockets)))
		cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$@"`, "sh", cmd.Path}, cmd.Args[1:]...)
		cmd.Path = "/bin/sh"
		return cmd.Start()
	}
}
