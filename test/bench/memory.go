package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/scenario"
	"github.com/millrace/millrace/test/standin"
)

// memoryRow is what one kind of mail costs when the daemon is full of it. Resident memory is the most that the kernel has
// seen, while the queues filled and while further mail was refused.
type memoryRow struct {
	Row      string  `json:"row"`
	Limit    int64   `json:"limit"`    // queue.max_bytes
	Messages int64   `json:"messages"` // in the queues
	Charged  int64   `json:"charged"`  // by the daemon's own ledger
	Resident int64   `json:"resident"`
	Figure   string  `json:"figure"`
	Value    float64 `json:"value"` // Resident / Limit
	Goal     string  `json:"goal"`
	Met      bool    `json:"met"`
	Full     bool    `json:"full"` // false: the kind did not fill the memory in the time that it had
}

// memoryKind is a kind of mail, and the receiver that keeps it in the queues.
type memoryKind struct {
	name    string
	message func(i int64) *standin.Message
	rcpt    func(addr string) string // the receiver's reply to RCPT; nil: nothing listens
}

var memoryKinds = []memoryKind{
	{name: "one body for all", message: func(i int64) *standin.Message { return campaignMessage(i, sharedBody) }},
	{name: "a body for each", message: func(i int64) *standin.Message { return campaignMessage(i, personalBody(i)) }},
	{name: "500 recipients with all parameters", message: manyRcpts},
	{name: "deferred with long replies", message: func(i int64) *standin.Message { return campaignMessage(i, sharedBody) }, rcpt: func(addr string) string {
		return fmt.Sprintf("450 4.2.1 <%s> %s", addr, strings.Repeat("come back later, ", 110))
	}},
	{name: "bounced while the MTA takes nothing", message: func(i int64) *standin.Message { return campaignMessage(i, sharedBody) }, rcpt: func(addr string) string {
		return fmt.Sprintf("550 5.7.1 <%s> %s", addr, strings.Repeat("refused by policy, ", 100))
	}},
}

var sharedBody = bodyOf("All the news that fits on a line of seventy characters, and no more.\r\n", 20_000)

func personalBody(i int64) []byte {
	return bodyOf(fmt.Sprintf("All the news for subscriber number %d, and for nobody else.\r\n", i), 20_000)
}

func manyRcpts(i int64) *standin.Message {
	m := campaignMessage(i, sharedBody)
	m.Rcpts = nil
	for k := range int64(500) {
		m.Rcpts = append(m.Rcpts, standin.Recipient{
			Addr: fmt.Sprintf("u%d@d%d.test", i*500+k, k%10), Mailer: "smtp",
			Args: []string{"NOTIFY=FAILURE,DELAY", fmt.Sprintf("ORCPT=rfc822;the-original-address-%d@somewhere.example", i*500+k)},
		})
	}
	return m
}

// memoryBench fills a daemon with each kind of mail in turn.
type memoryBench struct {
	bin, dir string
	conns    int
	limit    int64
	patience time.Duration // for one kind
	only     string        // a part of the name of the kinds to run; "": all
}

func (b *memoryBench) run() ([]memoryRow, error) {
	var rows []memoryRow
	for i, k := range memoryKinds {
		if !strings.Contains(k.name, b.only) {
			continue
		}
		r, err := b.fill(filepath.Join(b.dir, fmt.Sprint("memory", i)), k)
		if err != nil {
			return rows, fmt.Errorf("%s: %w", k.name, err)
		}
		fmt.Fprintf(os.Stderr, "%-38s %8d messages, charged %d MB, resident %d MB: %.2f x the limit\n", r.Row, r.Messages, r.Charged>>20, r.Resident>>20, r.Value)
		rows = append(rows, r)
	}
	return rows, nil
}

// fill fills one daemon with one kind.
func (b *memoryBench) fill(dir string, k memoryKind) (r memoryRow, err error) {
	nobody, err := process.FreeAddr()
	if err != nil {
		return r, err
	}
	addr := nobody
	if k.rcpt != nil {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return r, err
		}
		defer ln.Close()
		go refuseAll(ln, k.rcpt) // ends with ln
		addr = ln.Addr().String()
	}
	m, err := scenario.NewMillrace(b.bin, dir, nobody, fmt.Sprintf("queue.max_bytes = %d\nlog.level = \"error\"\n[route]\n\"*\" = %q\n", b.limit, daemon.NextHop(addr)))
	if err != nil {
		return r, err
	}
	if err := m.Start(); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, m.Kill()) }() // nobody needs the mail, and a clean stop of so much takes time
	full, err := b.feed(m.Milter, k)
	if err != nil {
		return r, err
	}
	st, err := m.Status()
	if err != nil {
		return r, err
	}
	r = memoryRow{Row: k.name, Limit: b.limit, Messages: st.Messages, Charged: st.Memory.Used, Full: full, Figure: "resident / limit", Goal: "<= 1.2"}
	r.Resident, err = residentPeak(st.PID)
	r.Value = float64(r.Resident) / float64(b.limit)
	r.Met = full && r.Value <= 1.2
	return r, err
}

// offers is how many bytes of bodies and recipients are offered to a daemon that is full.
const offers = 400 << 20

// feed offers mail until so much was left with the MTA, and reports whether it was.
func (b *memoryBench) feed(addr string, k memoryKind) (full bool, err error) {
	var next, left atomic.Int64
	end := time.Now().Add(b.patience)
	failed := make([]error, b.conns)
	var wg sync.WaitGroup
	for w := range b.conns {
		wg.Go(func() { // ends when the daemon is full, or with its patience
			c, err := standin.Dial("tcp", addr, standin.Options{})
			if err != nil {
				failed[w] = err
				return
			}
			defer c.Close()
			for left.Load() < offers && time.Now().Before(end) {
				m := k.message(next.Add(1))
				v, err := c.Send(m)
				if err != nil {
					failed[w] = err
					return
				}
				if !v.Taken() {
					left.Add(int64(len(m.Body) + 150*len(m.Rcpts)))
				}
			}
		})
	}
	wg.Wait()
	return left.Load() >= offers, errors.Join(failed...)
}

// residentPeak is the most memory that the process has had in RAM, in bytes.
func residentPeak(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		var kb int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kb); n == 1 {
			return kb << 10, nil
		}
	}
	return 0, errors.New("the kernel does not tell VmHWM")
}

// refuseAll is a receiver that gives every recipient a reply of its own, which package sink cannot do.
func refuseAll(ln net.Listener, rcpt func(addr string) string) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		go refuse(nc, rcpt) // ends with its connection
	}
}

func refuse(nc net.Conn, rcpt func(addr string) string) {
	defer nc.Close()
	in, out := bufio.NewScanner(nc), bufio.NewWriter(nc)
	reply := func(text string) {
		_, _ = out.WriteString(text + "\r\n")
		_ = out.Flush() // an error shows at the next read
	}
	reply("220 strict.test ESMTP")
	for in.Scan() {
		verb, rest, _ := strings.Cut(in.Text(), ":")
		switch strings.ToUpper(verb) {
		case "RCPT TO":
			addr, _, _ := strings.Cut(strings.TrimPrefix(rest, "<"), ">")
			reply(rcpt(addr))
		case "DATA":
			reply("554 5.5.1 no valid recipients")
		case "QUIT":
			reply("221 2.0.0 bye")
			return
		default:
			reply("250 2.0.0 ok")
		}
	}
}
