package rescue

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unique"
)

// Message is a message in Postfix's queue, as "postqueue -j" prints it.
type Message struct {
	Queue   string      `json:"queue_name"` // active, deferred, hold, incoming, maildrop
	ID      string      `json:"queue_id"`
	Arrived int64       `json:"arrival_time"` // Unix seconds
	Size    int64       `json:"message_size"` // bytes
	Sender  string      `json:"sender"`       // "MAILER-DAEMON" is the null sender
	Rcpts   []Recipient `json:"recipients"`   // those that are not done
}

// Recipient is one recipient of a Message.
type Recipient struct {
	Address string `json:"address"`
	Reason  string `json:"delay_reason"` // what the last attempt has led to; "" before the first
}

// nullSender is how postqueue calls the sender of notifications.
const nullSender = "MAILER-DAEMON"

// deferred is the queue of what waits for another attempt.
const deferred = "deferred"

// onHold is the queue of what an administrator keeps from being sent.
const onHold = "hold"

// maxLine bounds a message: it has a line, with all its recipients.
const maxLine = 64 << 20

// ParseQueue reads what "postqueue -j" prints. It skips lines that are no objects: warnings.
func ParseQueue(r io.Reader, each func(*Message)) error {
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for in.Scan() {
		line := bytes.TrimSpace(in.Bytes())
		if len(line) == 0 || line[0] != '{' {
			continue
		}
		var m Message
		if err := json.Unmarshal(line, &m); err != nil {
			return fmt.Errorf("read the queue: %w", err)
		}
		for i := range m.Rcpts { // a backlog has millions of reasons, and few that differ
			m.Rcpts[i].Reason = unique.Make(m.Rcpts[i].Reason).Value()
		}
		each(&m)
	}
	if err := in.Err(); err != nil {
		return fmt.Errorf("read the queue: %w", err)
	}
	return nil
}

// domain is the domain of an address in lower case.
func domain(addr string) string { return strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:]) }
