package main

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strings"
)

// fakeEvents has three records, and selects by kind alone. It prints each query it gets.
type fakeEvents struct{}

func (fakeEvents) Events(_ context.Context, query url.Values) (iter.Seq2[uint64, []byte], error) {
	fmt.Printf("asked %s\n", query.Encode())
	if query.Get("since") == "999" {
		return nil, fmt.Errorf("since: 999 is ahead of the newest record, 8")
	}
	return func(yield func(uint64, []byte) bool) {
		for i, text := range []string{
			`{"position":6,"time":"2026-11-26T17:30:00.123Z","type":"reception","id":"10","queue_id":"4bXyZ1","sender":"","recipients":["a@r.example","b@r.example"],"rcpts":2,"size":100}`,
			`{"position":7,"time":"2026-11-26T17:30:01.123Z","type":"bounce","id":"10","queue_id":"4bXyZ1","sender":"n@n.example","recipient":"a@r.example","domain":"r.example","relay":"mx[192.0.2.1]:25","visits":1,"reply":{"code":550,"enhanced":"5.1.1","text":"No \u001b[31m such user"},"class":"bad-mailbox","delays":{"before":1}}`,
			`{"position":8,"time":"2026-11-26T17:30:02.123Z","type":"act","verb":"hold","who":"root","messages":3}`,
		} {
			if k := query.Get("kind"); (k == "" || strings.Contains(text, `"type":"`+k)) && !yield(uint64(6+i), []byte(text+"\n")) {
				return
			}
		}
		yield(8, nil)
	}, nil
}
