package main

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/scenario"
	"github.com/millrace/millrace/test/sink"
	"github.com/millrace/millrace/test/standin"
)

// door is a Millrace without an MTA. The stand-in offers mail to its milter door, and one sink gets all mail, so that
// only Millrace is measured.
type door struct {
	*scenario.Millrace
	far *sink.Sink
}

// newDoor configures a Millrace in dir; config is appended to its configuration. It is not started yet.
func newDoor(bin, dir, config string) (*door, error) {
	far, err := sink.New(sink.Config{})
	if err != nil {
		return nil, err
	}
	d := &door{far: far}
	addr, err := far.Listen("127.0.0.1:0", sink.Character{Name: "remote"})
	if err == nil {
		config += fmt.Sprintf("[route]\n\"*\" = %q\n", daemon.NextHop(addr.String()))
		d.Millrace, err = scenario.NewMillrace(bin, dir, addr.String(), config)
	}
	if err != nil {
		far.Close()
		return nil, err
	}
	return d, nil
}

// bodyOf is a body of whole lines of about size bytes: what has a bare CR is handed back to nobody.
func bodyOf(line string, size int) []byte {
	return []byte(strings.Repeat(line, size/len(line)))
}

// campaignMessage is the i-th message of a campaign of one body.
func campaignMessage(i int64, body []byte) *standin.Message {
	return &standin.Message{
		QueueID: fmt.Sprintf("4A%08d", i), From: "news@sender.test", Rcpts: standin.To(fmt.Sprintf("u%d@d%d.test", i, i%10)), Body: body,
		Header: []standin.Field{
			{Name: "X-Ledger", Value: fmt.Sprintf(" %d", i)}, {Name: "Subject", Value: " News"}, {Name: "Precedence", Value: " bulk"},
			{Name: "List-Id", Value: " <news.sender.test>"}, {Name: "List-Unsubscribe", Value: " <https://sender.test/off>"},
		},
	}
}
