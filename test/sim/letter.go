package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Ports of the SMTP door by role, and of the MTA's listener that gets what is not taken.
var (
	letterPorts  = map[string]string{"filter": "192.0.2.10:8896", "lmtp": "192.0.2.10:8896", "proxy": "192.0.2.10:8898", "submission": "192.0.2.10:8899"}
	reinjectPort = "192.0.2.20:10027"
)

// smtpdConfig is the daemon's SMTP door, if a source of the scenario comes by it.
func (s *Scenario) smtpdConfig() string {
	if !slices.ContainsFunc(s.sources, func(src Source) bool { return src.door != "" }) {
		return ""
	}
	return fmt.Sprintf("smtpd.filter = [\"inet:%s\"]\nsmtpd.proxy = [\"inet:%s\"]\nsmtpd.submission = [\"inet:%s\"]\nsmtpd.reinject = \"[192.0.2.20]:10027\"\nsmtpd.allow = [\"192.0.2.0/24\"]\n",
		letterPorts["filter"], letterPorts["proxy"], letterPorts["submission"])
}

// letter is a message on its way to the SMTP door. The MTA keeps it for recipients who were refused for the moment, or about whom it
// has no answer, and tries again as Postfix does; so does an application at the proxy or the submission listener that is patient.
type letter struct {
	i     int
	rcpts []string // without an answer that is the last
	raw   []byte
}

// again is Postfix's minimal_backoff_time.
const again = 5 * time.Minute

// postAll sends everything by the SMTP door. It returns when each recipient has an answer that is the last, or ctx is done.
func (c *campaign) postAll(ctx context.Context, begin time.Time) {
	boxes := make(chan *letterbox, c.sessions)
	for range c.sessions {
		boxes <- nil
	}
	var all sync.WaitGroup
	for i := range c.count {
		if !waitUntil(ctx, c.due(begin, i)) {
			break
		}
		rcpts, raw := c.note(i)
		all.Go(func() { c.postUntilAnswered(ctx, boxes, &letter{i, rcpts, raw}) }) // ends with the letter, or with ctx
	}
	all.Wait()
	for range c.sessions {
		if box := <-boxes; box != nil {
			box.nc.Close()
		}
	}
}

// postUntilAnswered tries as long as somebody is left.
func (c *campaign) postUntilAnswered(ctx context.Context, boxes chan *letterbox, l *letter) {
	for len(l.rcpts) > 0 {
		select {
		case box := <-boxes:
			box = c.post(ctx, box, l)
			boxes <- box
		case <-ctx.Done():
			return
		}
		if len(l.rcpts) > 0 && !waitUntil(ctx, time.Now().Add(again)) {
			return
		}
	}
}

// letterbox is a connection to the SMTP door.
type letterbox struct {
	nc net.Conn
	in *bufio.Reader
}

// post tries once, and returns the connection if it is still of use.
func (c *campaign) post(ctx context.Context, box *letterbox, l *letter) *letterbox {
	if box == nil {
		if box = c.openBox(ctx); box == nil {
			return nil // nothing was offered: the MTA keeps it
		}
	}
	asked := time.Now()
	c.book.ask(l.rcpts)
	verdicts, err := box.transaction(l, fmt.Sprintf("%s+%d@%s", c.name, l.i, c.sender), c.door == "lmtp")
	c.by.answered(asked)
	var rest []string
	for k, r := range l.rcpts {
		v := unanswered
		if k < len(verdicts) {
			v = verdicts[k]
		}
		c.hearAll([]string{r}, v)
		if v == unanswered || v == told4xx {
			rest = append(rest, r)
		}
	}
	l.rcpts = rest
	if err != nil {
		box.nc.Close()
		return nil
	}
	return box
}

func (c *campaign) openBox(ctx context.Context) *letterbox {
	nc, err := c.dialLetters(ctx)
	if err != nil {
		return nil
	}
	box := &letterbox{nc, bufio.NewReader(nc)}
	hello := "EHLO mta.sim.test"
	if c.door == "lmtp" {
		hello = "LHLO mta.sim.test"
	}
	if _, err = box.reply(); err == nil {
		_, err = box.say(hello)
	}
	if err != nil {
		nc.Close()
		return nil
	}
	return box
}

// say sends a line and reads the reply.
func (b *letterbox) say(line string) (string, error) {
	if _, err := b.nc.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	return b.reply()
}

// reply is the last line of a reply.
func (b *letterbox) reply() (string, error) {
	for {
		if err := b.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return "", err
		}
		line, err := b.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if len(line) < 4 {
			return "", errors.New("this is no reply: " + line)
		}
		if line[3] == ' ' {
			return line, nil
		}
	}
}

// transaction offers a letter, and returns what was said about each recipient, as far as that came.
func (b *letterbox) transaction(l *letter, from string, lmtp bool) ([]verdict, error) {
	if _, err := b.say(fmt.Sprintf("XFORWARD NAME=app.sim.test ADDR=192.0.2.80 IDENT=4L%07d", l.i)); err != nil {
		return nil, err
	}
	first, err := b.say("MAIL FROM:<" + from + ">")
	if err != nil {
		return nil, err
	}
	verdicts := make([]verdict, len(l.rcpts))
	var open []int // recipients that were accepted
	for k, r := range l.rcpts {
		text, err := b.say("RCPT TO:<" + r + ">")
		if err != nil {
			return nil, err
		}
		if verdicts[k] = judgeReply(text); first[0] != '2' {
			verdicts[k] = judgeReply(first)
		} else if text[0] == '2' {
			open = append(open, k)
		}
	}
	if len(open) == 0 {
		_, err := b.say("RSET")
		return verdicts, err
	}
	if text, err := b.say("DATA"); err != nil || text[0] != '3' {
		return nil, errors.Join(err, errors.New("DATA: "+text))
	}
	for _, k := range open {
		verdicts[k] = unanswered
	}
	if _, err := b.nc.Write(append(slices.Clone(l.raw), ".\r\n"...)); err != nil { // no line of it begins with a dot
		return verdicts, err
	}
	for n, k := range open {
		if n == 0 || lmtp {
			text, err := b.reply()
			if err != nil {
				return verdicts, err
			}
			verdicts[k] = judgeReply(text)
		} else {
			verdicts[k] = verdicts[open[0]]
		}
	}
	return verdicts, nil
}

// judgeReply is what a reply means for a recipient. A message that went on to the MTA has the MTA's own reply.
func judgeReply(text string) verdict {
	switch {
	case text[0] == '2' && strings.Contains(text, "Ok: queued as "):
		return taken
	case text[0] == '2':
		return left
	case text[0] == '4':
		return told4xx
	}
	return dropped
}

// letters makes the MTA's listener for what is not taken.
func (w *World) letters() {
	r := newReceiver("reinject", w.book, newSite("reinject", w.start), Mood{}, w.tell)
	r.took = func(_ netip.Addr, rcpts []string, _ string) {
		w.tell("%-20s gets what is not taken, for %s", "mta", strings.Join(rcpts, " "))
		w.book.pass(rcpts)
	}
	w.receivers["reinject"], w.hosts["reinject"] = r, w.mta
	w.run.Go(func() { w.check(r.live(w.ctx, w.mta, reinjectPort)) }) // ends with ctx
}
