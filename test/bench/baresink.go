package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/test/process"
)

// bareSink is a receiver that does nothing but speak SMTP: it looks for the end of each message and forgets it. How much it could
// take bounds all that is sent to it.
type bareSink struct {
	chunking bool // it announces CHUNKING

	messages, chunked, conns atomic.Int64 // messages taken; those of them that came by BDAT; connections made
}

// serveSink is the role "sink": an address, and whether CHUNKING is announced.
func serveSink(args []string) error {
	s := &bareSink{chunking: len(args) > 1 && args[1] == "chunking"}
	ln, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	for {
		nc, err := ln.Accept()
		if err != nil {
			return err
		}
		go (&bareSession{sink: s, nc: nc, buf: make([]byte, 256<<10)}).serve() // ends with its connection
	}
}

// bareSession is one connection of a bareSink.
type bareSession struct {
	sink *bareSink
	nc   net.Conn
	buf  []byte
	in   []byte // the part of buf that was read and is not used yet
	out  []byte // replies that leave before the next read
}

var errBareQuit = errors.New("QUIT")

func (s *bareSession) serve() {
	defer s.nc.Close()
	s.sink.conns.Add(1)
	s.out = append(s.out, "220 sink.test ESMTP\r\n"...)
	for {
		line, err := s.line()
		if err == nil {
			err = s.command(line)
		}
		if err != nil {
			_, _ = s.nc.Write(s.out) // the client has gone, or says QUIT
			return
		}
	}
}

// fill sends the replies and reads on.
func (s *bareSession) fill() error {
	if len(s.out) > 0 {
		if _, err := s.nc.Write(s.out); err != nil {
			return err
		}
		s.out = s.out[:0]
	}
	s.in = s.buf[:copy(s.buf, s.in)]
	n, err := s.nc.Read(s.buf[len(s.in):])
	s.in = s.buf[:len(s.in)+n]
	return err
}

// use drops the first n bytes.
func (s *bareSession) use(n int) { s.in = s.in[n:] }

func (s *bareSession) line() (string, error) {
	for {
		if i := bytes.IndexByte(s.in, '\n'); i >= 0 {
			line := strings.TrimRight(string(s.in[:i]), "\r")
			s.use(i + 1)
			return line, nil
		}
		if len(s.in) == len(s.buf) {
			return "", errors.New("a line without an end")
		}
		if err := s.fill(); err != nil {
			return "", err
		}
	}
}

func (s *bareSession) reply(text string) { s.out = append(append(s.out, text...), "\r\n"...) }

func (s *bareSession) command(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "MAIL", "RCPT", "RSET", "NOOP", "HELO":
		s.reply("250 2.0.0 ok")
	case "EHLO":
		s.reply(s.extensions())
	case "DATA":
		s.reply("354 go on")
		return s.data()
	case "BDAT":
		return s.chunk(rest)
	case "XCOUNT": // of this program's own
		s.reply(fmt.Sprintf("250 %d %d %d", s.sink.messages.Load(), s.sink.chunked.Load(), s.sink.conns.Load()))
	case "XWAIT":
		s.await(rest)
	case "QUIT":
		s.reply("221 2.0.0 bye")
		return errBareQuit
	default:
		s.reply("500 5.5.2 what?")
	}
	return nil
}

func (s *bareSession) extensions() string {
	list := "250-sink.test\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n250-ENHANCEDSTATUSCODES\r\n"
	if s.sink.chunking {
		list += "250-CHUNKING\r\n"
	}
	return list + "250 SIZE 52428800"
}

var endOfData = []byte("\r\n.\r\n")

// data reads the message up to its end.
func (s *bareSession) data() error {
	for {
		if i := bytes.Index(s.in, endOfData); i >= 0 {
			s.use(i + len(endOfData))
			s.taken()
			return nil
		}
		if keep := len(endOfData) - 1; len(s.in) > keep {
			s.use(len(s.in) - keep)
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
}

func (s *bareSession) taken() {
	s.sink.messages.Add(1)
	s.reply("250 2.0.0 taken")
}

// chunk reads what follows BDAT.
func (s *bareSession) chunk(args string) error {
	size, last, _ := strings.Cut(args, " ")
	left, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	for {
		n := min(left, len(s.in))
		s.use(n)
		if left -= n; left == 0 {
			break
		}
		if err := s.fill(); err != nil {
			return err
		}
	}
	if !strings.EqualFold(last, "LAST") {
		s.reply("250 2.0.0 go on")
		return nil
	}
	s.sink.chunked.Add(1)
	s.taken()
	return nil
}

// await replies when so many messages were taken, with the time of that.
func (s *bareSession) await(arg string) {
	n, _ := strconv.ParseInt(arg, 10, 64) // what is no number is there already
	for s.sink.messages.Load() < n {
		time.Sleep(500 * time.Microsecond)
	}
	s.reply(fmt.Sprintf("250 %d", time.Now().UnixNano()))
}

// far is a bare sink in a process of its own.
type far struct {
	*process.Process
	addr string
	nc   net.Conn
	in   *bufio.Reader
}

// startSink starts a bare sink.
func startSink(dir string, chunking bool) (*far, error) {
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	var args []string
	if chunking {
		args = []string{"chunking"}
	}
	f := &far{addr: addr}
	if f.Process, err = startPeer(filepath.Join(dir, "sink"+addr), "sink", addr, args...); err != nil {
		return nil, err
	}
	if f.nc, err = net.Dial("tcp", addr); err != nil {
		return nil, errors.Join(err, f.close())
	}
	f.in = bufio.NewReader(f.nc)
	_, err = f.in.ReadString('\n')
	return f, err
}

func (f *far) close() error {
	if f.nc != nil {
		_ = f.nc.Close() // the process ends in any case
	}
	return endPeer(f.Process)
}

// ask is one question in the words that only a bareSink knows.
func (f *far) ask(question string, limit time.Duration, answer ...any) error {
	if err := f.nc.SetDeadline(time.Now().Add(limit)); err != nil {
		return err
	}
	if _, err := fmt.Fprint(f.nc, question, "\r\n"); err != nil {
		return err
	}
	line, err := f.in.ReadString('\n')
	if err != nil {
		return fmt.Errorf("the sink does not answer %s: %w", question, err)
	}
	_, err = fmt.Sscan(strings.TrimPrefix(line, "250 "), answer...)
	return err
}

// counts is how many messages have come, and how many of them by BDAT.
func (f *far) counts() (messages, chunked int64, err error) {
	var conns int64
	err = f.ask("XCOUNT", time.Minute, &messages, &chunked, &conns)
	return messages, chunked, err
}

// when waits until so many messages have come since the sink began, and returns the time of that.
func (f *far) when(messages int64, limit time.Duration) (time.Time, error) {
	var at int64
	if err := f.ask(fmt.Sprint("XWAIT ", messages), limit, &at); err != nil {
		have := int64(-1)
		if nc, err := net.Dial("tcp", f.addr); err == nil {
			again := far{nc: nc, in: bufio.NewReader(nc)}
			_, _ = again.in.ReadString('\n')
			have, _, _ = again.counts()
			_ = nc.Close()
		}
		return time.Time{}, fmt.Errorf("%d of %d messages came: %w", have, messages, err)
	}
	return time.Unix(0, at), nil
}
