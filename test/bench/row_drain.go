package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/process"
	"github.com/millrace/millrace/test/scenario"
)

const (
	drainDomains = 10
	drainAhead   = 4 // transactions that the blaster of the BDAT form has under way on a connection
)

// drainRun is mail that waits in a state directory, and the receivers that it is sent to.
type drainRun struct {
	*rowBench
	messages int
	full     string // state directory that every round begins with
	body     []byte

	plain, chunking *far
}

// drain is row 6: a daemon that has nothing to do but send what waits, against a program that only sends.
func (b *rowBench) drain() (list []figure, err error) {
	r := &drainRun{rowBench: b, messages: b.count(200_000, 3000), full: filepath.Join(b.dir, "full")}
	r.body = bodyOf("All the news that fits.\r\n", b.size)
	if err := waiting(r.full, r.messages, drainDomains, b.size, time.Time{}); err != nil {
		return nil, err
	}
	if r.plain, err = startSink(b.dir, false); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.plain.close()) }()
	if r.chunking, err = startSink(b.dir, true); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.chunking.close()) }()
	for _, f := range []drainForm{{"DATA", r.plain, 0, 0.65}, {"BDAT", r.chunking, drainAhead, 0.6}} {
		if !strings.Contains(f.name, b.only) {
			continue
		}
		ours, blast := r.ways(f)
		if err := takeTurns(b.turns(3), ours, blast); err != nil {
			return list, err
		}
		name := fmt.Sprintf("draining %d nodes, to a blaster of the same form: %s, pipelined", r.messages, f.name)
		list = append(list, ours.faster(6, name, blast, f.goal))
	}
	return list, nil
}

// drainForm is a form of sending, and who receives it.
type drainForm struct {
	name  string
	to    *far
	ahead int // see blaster
	goal  float64
}

// ways are the daemon and the blaster that send to one receiver.
func (r *drainRun) ways(f drainForm) (ours, blast *way) {
	ours = &way{name: "millrace, " + f.name, round: func(i int) (effort, error) { return r.millrace(i, f) }}
	blast = &way{name: "blaster, " + f.name, round: func(int) (effort, error) { return r.blast(f.to, f.ahead) }}
	return ours, blast
}

// millrace sends what waits, from the first message to the last.
func (r *drainRun) millrace(i int, form drainForm) (e effort, err error) {
	dir, to := filepath.Join(r.dir, fmt.Sprint(form.name, i)), form.to
	d, err := scenario.NewMillrace(r.bin, dir, "127.0.0.1:1", roomy+fmt.Sprintf("[route]\n\"*\" = %q\n[[site]]\ndomain = [\".test\"]\nbdat = \"on\"\n", daemon.NextHop(to.addr)))
	if err != nil {
		return e, err
	}
	defer os.RemoveAll(dir)
	if err := os.CopyFS(d.StateDir(), os.DirFS(r.full)); err != nil {
		return e, err
	}
	profile, err := r.profiled(d.Daemon, "drain-"+form.name)
	if err != nil {
		return e, err
	}
	before, chunked, err := to.counts()
	if err != nil {
		return e, err
	}
	if err := d.Start(); err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, d.Kill()) }() // what is left is of no use
	begin, err := to.when(before+1, 5*time.Minute)
	if err != nil {
		return e, err
	}
	m := meter{used: []func() (time.Duration, error){d.CPU}, daemon: d, profile: profile}
	if err := m.begin(); err != nil {
		return e, err
	}
	end, err := to.when(before+int64(r.messages), 5*time.Minute)
	if err != nil {
		return e, err
	}
	if e, err = m.end(r.messages, end.Sub(begin)); err != nil {
		return e, err
	}
	if _, now, err := to.counts(); err != nil || form.ahead > 0 && now == chunked {
		return e, cmp.Or(err, errors.New("the daemon sends nothing by BDAT"))
	}
	return e, nil
}

// blast sends messages of the same size without a daemon.
func (r *drainRun) blast(to *far, ahead int) (effort, error) {
	b := &blaster{addr: to.addr, conns: 20, messages: r.messages, ahead: ahead, piece: r.piece}
	m := meter{used: []func() (time.Duration, error){process.OwnCPU}}
	if err := m.begin(); err != nil {
		return effort{}, err
	}
	begin := time.Now()
	if err := b.run(); err != nil {
		return effort{}, err
	}
	return m.end(r.messages, time.Since(begin))
}

// piece is the message of that number: its body is not that of the state directory, and as long.
func (r *drainRun) piece(i int, scratch []byte) piece {
	p := piece{from: fmt.Sprintf("news+%d@sender.test", i), rcpt: fmt.Sprintf("user%d@d%d.test", i, i%drainDomains), common: r.body}
	p.head = append(scratch, "Received: from app (app [192.0.2.1]) by mail.example.org (Millrace) with ESMTP;\r\n"...)
	p.head = append(p.head, "\tMon, 23 Nov 2026 10:00:00 +0000\r\nFrom: News <news@sender.test>\r\nSubject: News of the week\r\n"...)
	p.head = fmt.Appendf(p.head, "To: <user%d@d%d.test>\r\n", i, i%drainDomains)
	p.head = fmt.Appendf(p.head, "Message-ID: <%d@sender.test>\r\nList-Id: <news.sender.test>\r\n\r\n", i)
	return p
}
