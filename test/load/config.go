package load

import (
	"errors"
	"fmt"
	"time"
)

// Config says which messages Run sends, and how. Only Addr has no default.
type Config struct {
	Addr     string   // host:port of the mail server
	Others   []string // more addresses of the server, tried when nobody listens at Addr: a name with several addresses
	Conns    int      // connections at a time; default 10
	Workers  int      // that send; default Conns. More than that share the connections
	First    int      // number of the first message, for a campaign in parts
	Messages int      // default 100
	Rcpts    int      // recipients of each message; default 1
	MinSize  int      // bytes of a message with its header; default 20,000
	MaxSize  int      // default MinSize

	Plain    float64  // share of messages (0 to 1) without any sign of bulk
	Personal float64  // share of the body (0 to 1) that is different in every message
	Domains  []string // of the recipients, in turn; default d0.test to d9.test
	From     string   // envelope sender; default news@sender.test
	VERP     bool     // a sender of its own for every message: news+ID@sender.test

	Prefix     string        // of the ids; default "m"
	Seed       uint64        // seed of all random parts of the messages
	Hello      string        // default source.test
	Pipelining bool          // send envelope and DATA in one write (RFC 2920); the server must offer it
	PerConn    int           // messages on a connection; zero: no limit
	Rate       float64       // messages a second that are begun; zero: as many as go
	PoolWait   time.Duration // how long a worker waits for a connection before it gives its message up; zero: for ever
	Attempts   int           // at most for each message: another one follows 4xx or a lost connection; default 1
	Pause      time.Duration // before a further attempt, and between attempts to connect; default 50 ms
	Patience   time.Duration // how long connecting may fail before Run gives up; default 10 s
	Timeout    time.Duration // of one read or write; default 5 minutes

	Progress func(done int) // called now and then from one goroutine at a time, if set
}

func (c Config) withDefaults() Config {
	number := func(v *int, d int) {
		if *v <= 0 {
			*v = d
		}
	}
	number(&c.Conns, 10)
	number(&c.Workers, c.Conns)
	number(&c.Messages, 100)
	number(&c.Rcpts, 1)
	number(&c.MinSize, 20_000)
	c.MaxSize = max(c.MaxSize, c.MinSize)
	number(&c.Attempts, 1)
	word := func(v *string, d string) {
		if *v == "" {
			*v = d
		}
	}
	word(&c.From, "news@sender.test")
	word(&c.Prefix, "m")
	word(&c.Hello, "source.test")
	span := func(v *time.Duration, d time.Duration) {
		if *v <= 0 {
			*v = d
		}
	}
	span(&c.Pause, 50*time.Millisecond)
	span(&c.Patience, 10*time.Second)
	span(&c.Timeout, 5*time.Minute)
	if len(c.Domains) == 0 {
		for i := range 10 {
			c.Domains = append(c.Domains, fmt.Sprintf("d%d.test", i))
		}
	}
	return c
}

func (c Config) validate() error {
	switch {
	case c.Addr == "":
		return errors.New("load: no address to send to")
	case c.Plain < 0 || c.Plain > 1 || c.Personal < 0 || c.Personal > 1:
		return errors.New("load: a share lies between 0 and 1")
	case c.Messages > 100_000_000:
		return errors.New("load: more than 100,000,000 messages")
	}
	return nil
}
