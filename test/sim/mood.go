package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Mood is how a receiver behaves at the time. The zero value takes everything at once. Every field makes it worse in one way; the
// fields may be combined.
type Mood struct {
	Delay    time.Duration // before each reply
	Dot      time.Duration // before the reply to a message, in addition
	Dribble  time.Duration // between two bytes of a reply
	Conns    int           // connections that may be open; the next one gets 421
	Rate     float64       // messages a second that are taken; the next MAIL gets 451
	Hang     bool          // at the limit of Rate it is 421, and the connection is closed
	Grey     time.Duration // a sender and recipient are told 451 until so long after their first attempt
	Rcpts    int           // recipients of one message; the next one gets 421, and the connection is closed
	PerConn  int           // messages of one connection; the next MAIL gets 421
	Each     bool          // Conns and Rate are of each address that connects
	Defer    bool          // each recipient gets 451
	Refuse   bool          // each recipient gets 550
	Unauth   string        // each message of this source gets 550 5.7.26
	Silent   bool          // connections are accepted, and nothing is said
	Dead     bool          // connections are refused
	On, Away time.Duration // it takes mail for On, and then resets and refuses all connections for Away, in turn
}

// takes reports whether the receiver takes mail at all.
func (m Mood) takes() bool { return !m.Dead && !m.Silent && !m.Defer && !m.Refuse }

// limits reports whether the receiver takes so much and no more.
func (m Mood) limits() bool { return (m.Conns > 0 || m.Rate > 0) && m.takes() }

// moods are the words for a mood, without and with a value.
var (
	plainMoods = map[string]func(*Mood){
		"fast": func(*Mood) {}, "defer": func(m *Mood) { m.Defer = true }, "refuse": func(m *Mood) { m.Refuse = true },
		"silent": func(m *Mood) { m.Silent = true }, "dead": func(m *Mood) { m.Dead = true }, "hang": func(m *Mood) { m.Hang = true },
		"slow": func(m *Mood) { m.Delay = time.Second }, "tarpit": func(m *Mood) { m.Delay = 20 * time.Second },
		"dribble": func(m *Mood) { m.Dribble = time.Second }, "each": func(m *Mood) { m.Each = true },
	}
	valueMoods = map[string]func(*Mood, string) error{
		"delay":   func(m *Mood, v string) error { return setDuration(&m.Delay, v) },
		"dot":     func(m *Mood, v string) error { return setDuration(&m.Dot, v) },
		"dribble": func(m *Mood, v string) error { return setDuration(&m.Dribble, v) },
		"unauth":  func(m *Mood, v string) error { m.Unauth = v; return nil },
		"grey":    func(m *Mood, v string) error { return setDuration(&m.Grey, v) },
		"conns":   func(m *Mood, v string) error { return setNumber(&m.Conns, v) },
		"rcpts":   func(m *Mood, v string) error { return setNumber(&m.Rcpts, v) },
		"perconn": func(m *Mood, v string) error { return setNumber(&m.PerConn, v) },
		"rate": func(m *Mood, v string) (err error) {
			m.Rate, err = strconv.ParseFloat(v, 64)
			return err
		},
		"flap": func(m *Mood, v string) error {
			on, away, _ := strings.Cut(v, "/")
			if err := setDuration(&m.On, on); err != nil {
				return err
			}
			return setDuration(&m.Away, away)
		},
	}
)

func setDuration(d *time.Duration, v string) (err error) {
	*d, err = time.ParseDuration(v)
	return err
}

func setNumber(n *int, v string) (err error) {
	*n, err = strconv.Atoi(v)
	return err
}

// parseMood reads the words of a mood, as "conns=5 delay=100ms".
func parseMood(words []string) (m Mood, err error) {
	for _, w := range words {
		name, value, valued := strings.Cut(w, "=")
		if set := plainMoods[name]; set != nil && !valued {
			set(&m)
			continue
		}
		set := valueMoods[name]
		if set == nil || !valued {
			return m, fmt.Errorf("%q is no mood", w)
		}
		if err := set(&m, value); err != nil {
			return m, fmt.Errorf("mood %q: %w", w, err)
		}
	}
	return m, nil
}
