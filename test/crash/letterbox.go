package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/millrace/millrace/test/standin"
)

// way is how a client brings its messages: by the milter door, or by a letterbox.
type way interface {
	send(m *mail, d *standin.Message) (standin.Verdict, error)
	hangUp()
}

// milterWay is the milter door.
type milterWay struct{ conn *standin.Conn }

func (w milterWay) send(_ *mail, d *standin.Message) (standin.Verdict, error) { return w.conn.Send(d) }
func (w milterWay) hangUp()                                                   { _ = w.conn.Close() } // fails when the daemon is gone

// letterbox is the SMTP door, spoken to in LMTP: each recipient has an answer. What goes on to the MTA behind the door is left with it.
type letterbox struct {
	nc net.Conn
	in *bufio.Reader
}

// newLetterbox connects to the listener for filters.
func newLetterbox(path string) (*letterbox, error) {
	nc, err := net.Dial("unix", path)
	if err != nil {
		return nil, err
	}
	l := &letterbox{nc, bufio.NewReader(nc)}
	if _, err = l.reply(); err == nil {
		_, err = l.say("LHLO mta.test")
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return l, nil
}

func (l *letterbox) hangUp() { l.nc.Close() }

// say sends a command and returns the last line of the reply.
func (l *letterbox) say(line string) (string, error) {
	if _, err := l.nc.Write([]byte(line + "\r\n")); err != nil {
		return "", err
	}
	return l.reply()
}

func (l *letterbox) reply() (string, error) {
	for {
		if err := l.nc.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return "", err
		}
		line, err := l.in.ReadString('\n')
		if err != nil {
			return "", err
		}
		if len(line) < 4 {
			return "", fmt.Errorf("this is no reply: %q", line)
		}
		if line[3] == ' ' {
			return line, nil
		}
	}
}

// send offers m. A client that goes away does so by RSET, or within the message by hanging up.
func (l *letterbox) send(m *mail, d *standin.Message) (v standin.Verdict, err error) {
	v.Action = standin.Accept
	if _, err := l.say("XFORWARD IDENT=" + d.QueueID); err != nil {
		return v, err
	}
	if err := l.expect("MAIL FROM:<"+d.From+">", '2'); err != nil {
		return v, err
	}
	for _, r := range d.Rcpts {
		if d.StopAt == standin.Rcpt {
			return v, l.expect("RSET", '2')
		}
		if err := l.expect("RCPT TO:<"+r.Addr+">", '2'); err != nil {
			return v, err
		}
	}
	if err := l.expect("DATA", '3'); err != nil {
		return v, err
	}
	content := bytes.ReplaceAll(m.raw, []byte("\r\n."), []byte("\r\n.."))
	if d.StopAt != 0 {
		_, err := l.nc.Write(content[:len(content)/2])
		return v, errors.Join(err, errGone)
	}
	if _, err := l.nc.Write(append(content, ".\r\n"...)); err != nil {
		return v, err
	}
	return l.answers(d)
}

// errGone ends a connection in the middle of a message.
var errGone = errors.New("the client goes away")

// expect sends a command, and wants a reply of that kind.
func (l *letterbox) expect(line string, kind byte) error {
	text, err := l.say(line)
	if err == nil && text[0] != kind {
		err = fmt.Errorf("the answer to %s is %q", line, strings.TrimSpace(text))
	}
	return err
}

// answers reads the reply for each recipient. Those who are taken are as good as deleted by a milter.
func (l *letterbox) answers(d *standin.Message) (v standin.Verdict, err error) {
	v.Action = standin.Accept
	for _, r := range d.Rcpts {
		text, err := l.reply()
		if err != nil {
			return v, err
		}
		if text[0] == '2' && strings.Contains(text, "Ok: queued as ") {
			v.Deleted = append(v.Deleted, r.Addr)
		}
	}
	return v, nil
}
