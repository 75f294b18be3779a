package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/test/dns"
	"github.com/millrace/millrace/test/sim/disk"
)

// act does what a line "at" says:
//
//	SITE mood...        the receiver has another mood
//	SITE cut | heal     no packet passes between it and the world; they pass again
//	SITE reset          its connections are lost
//	reinject ...        the same for the MTA's listener for what the SMTP door does not take
//	mta ...             the same for the MTA, with its connections to the door and its listener for bounce.inject
//	dns down | servfail | up
//	disk full | faulty | well
//	crash power|kill D  the daemon's machine dies; the next daemon starts after D
//	restart D           the daemon is stopped, and started after D
//	reload key = value  the configuration with one more line is loaded
//	pull VERB FIELD=VALUE...
//	                    an admin's order about the mail that waits: see World.pull
//	reload without tables
//	                    the configuration without its tables is loaded: tenants, sources and rules
func (w *World) act(words []string) error {
	switch words[0] {
	case "dns":
		return w.breakNames(words[1])
	case "disk":
		return w.sicken(words[1])
	case "crash", "restart":
		return w.interrupt(words)
	case "pull":
		return w.pull(words[1:])
	case "reload":
		more, tables := []string{strings.Join(words[1:], " ")}, w.scenario.toml
		if words[1] == "without" {
			more, tables = nil, nil
		}
		cfg, err := w.configuration(more, tables)
		if err != nil {
			return err
		}
		return w.machine.daemon.Reload(cfg)
	}
	names := w.scenario.named(words[0])
	if words[0] == "mta" || words[0] == "reinject" {
		names = words[:1]
	}
	if words[0] == "reinject" && w.receivers["reinject"] == nil { // no source comes by the SMTP door
		return nil
	}
	if len(names) == 0 || len(words) < 2 {
		return fmt.Errorf("nothing can be done: %s", strings.Join(words, " "))
	}
	for _, name := range names {
		if err := w.trouble(w.receivers[name], w.hosts[name], words[1:]); err != nil {
			return err
		}
	}
	return nil
}

// trouble does something to a receiver.
func (w *World) trouble(r *Receiver, host host, words []string) error {
	switch words[0] {
	case "cut":
		w.net.Cut(host.Addrs()[0])
	case "heal":
		w.net.Heal(host.Addrs()[0])
	case "reset":
		host.ResetAll()
	default:
		mood, err := parseMood(words)
		if err != nil {
			return err
		}
		r.change(mood)
	}
	return nil
}

func (w *World) breakNames(how string) error {
	kinds := map[string]dns.Kind{"down": dns.Timeout, "servfail": dns.ServFail}
	w.names.Heal("*.")
	if kind, found := kinds[how]; found {
		w.names.Fault("*.", dns.Fault{Kind: kind})
	} else if how != "up" {
		return fmt.Errorf("dns %q is none of down, servfail, up", how)
	}
	return nil
}

// sicken makes the disk ill or well. A machine that starts again has a disk that is well: the operator has seen to it.
func (w *World) sicken(how string) error {
	ill, found := map[string]disk.Illness{"full": disk.Full, "faulty": disk.Faulty, "well": disk.Well}[how]
	if !found {
		return fmt.Errorf("disk %q is none of full, faulty, well", how)
	}
	if w.machine == nil {
		return nil
	}
	if !w.machine.disk.Ill() {
		w.illSince = time.Now()
	}
	w.machine.disk.Suffer(ill)
	return nil
}

// interrupt ends the daemon and starts the next one. The scenario goes on meanwhile: the MTA delivers its mail itself.
func (w *World) interrupt(words []string) error {
	down, err := time.ParseDuration(words[len(words)-1])
	if err != nil {
		return err
	}
	old := w.machine
	if old == nil {
		return fmt.Errorf("the daemon does not run")
	}
	if words[0] == "crash" && old.disk.Ill() {
		w.book.crash(w.illSince)
	}
	w.machine, w.vague = nil, nil
	w.book.crashed()
	next := old.disk
	next.Suffer(disk.Well)
	if words[0] == "crash" {
		next = old.crash(words[1] == "power", w.rng)
		w.ending.Go(func() { // ends soon: the daemon has neither a network nor a disk any more
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			_ = old.daemon.Stop(ctx) // its complaints reach nobody
		})
	} else {
		ctx, done := context.WithTimeout(context.Background(), stopTime)
		defer done()
		if err := old.daemon.Stop(ctx); err != nil {
			return fmt.Errorf("stop: %w", err)
		}
		old.host.Crash()
	}
	time.Sleep(down)
	return w.boot(next)
}
