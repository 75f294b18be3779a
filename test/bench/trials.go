package main

import (
	"context"
	"time"

	"github.com/millrace/millrace/test/sink"
)

// trial is one receiver, the mail for it, and what an ideal client knows about it.
type trial struct {
	row  int
	name string // of the receiver, and its domain
	what string // for the figures
	is   sink.Character
	goal float64 // least share of what the twin gets

	capacity float64 // recipients a second, about; a fifth more is offered
	rcpts    int     // of each message
	exact    bool    // no twin and no fifth: the receiver could have all that is offered

	conns  int     // that the ideal client holds
	rate   float64 // of the ideal client; 0: no limit
	groups []int   // recipients of the ideal client's messages, in turn; nil: one

	course func(context.Context, *race) error // what happens to the receiver; nil: nothing
	after  time.Duration                      // what counts is learned from then on
	polite bool                               // few connections may be turned away
}

// reply is the delay of the receivers that have one, before each of the four replies to a message.
const reply = 20 * time.Millisecond

// thinks is a receiver with this delay before each reply.
func thinks(d time.Duration) sink.Character { return sink.Character{Delay: d} }

// trials are the receivers of the first part. scale is for those of their times that are a matter of minutes in the field.
func trials(scale func(time.Duration) time.Duration) []trial {
	const second = time.Second
	each := 1 / (4 * reply).Seconds() // messages a second over one connection
	return []trial{
		{row: 1, name: "five.test", what: "5 connections", is: sink.Character{Delay: reply, MaxConns: 5}, goal: 0.95, capacity: 5 * each, conns: 5, polite: true},
		{row: 2, name: "told451.test", what: "50/s told by 451", is: sink.Character{PerSecond: 50}, capacity: 50, conns: 2, rate: 50},
		{row: 2, name: "told421.test", what: "50/s told by 421", is: sink.Character{PerSecond: 50, HangUp: true}, capacity: 50, conns: 2, rate: 50},
		{row: 2, name: "tarpit.test", what: "tarpit", is: sink.Character{DotDelay: scale(5 * second)}, capacity: perSite / scale(5*second).Seconds(), conns: perSite},
		{row: 2, name: "drip.test", what: "dribble", is: sink.Character{Dribble: scale(50 * time.Millisecond)}, capacity: perSite / scale(5*second).Seconds(), conns: perSite},
		{row: 2, name: "grey.test", what: "greylist", is: sink.Character{Greylist: scale(15 * second)}, capacity: 20, exact: true},
		{row: 2, name: "flap.test", what: "flapping", is: thinks(reply), capacity: perSite * each, conns: perSite, course: flaps(scale(20*second), scale(10*second))},
		{row: 2, name: "noon-less.test", what: "limit falls from 8 to 3", is: sink.Character{Delay: reply, MaxConns: 8}, capacity: 8 * each, conns: 8,
			course: changes(scale(changed), 3), after: scale(changed)},
		{row: 2, name: "noon-more.test", what: "limit rises from 3 to 8", is: sink.Character{Delay: reply, MaxConns: 3}, capacity: 8 * each, conns: 3,
			course: changes(scale(changed), 8), after: scale(changed)},
		{row: 2, name: "ten.test", what: "421 at the 11th recipient", is: sink.Character{Delay: reply, MaxRecipients: 10, HangUp: true},
			capacity: perSite * 25 / (34 * reply).Seconds(), rcpts: 25, conns: perSite, groups: []int{10, 10, 5}},
	}
}

// flaps is the course of a receiver that is up and down in turn.
func flaps(up, down time.Duration) func(context.Context, *race) error {
	return func(ctx context.Context, r *race) error {
		for {
			pause(ctx, up)
			if ctx.Err() != nil {
				return nil
			}
			if err := r.shut(); err != nil {
				return err
			}
			pause(ctx, down)
			if err := r.reopen(); err != nil {
				return err
			}
		}
	}
}

// changes is the course of a receiver that allows another number of connections after a time.
func changes(after time.Duration, limit int) func(context.Context, *race) error {
	return func(ctx context.Context, r *race) error {
		pause(ctx, after)
		if ctx.Err() != nil {
			return nil
		}
		return r.allow(limit)
	}
}
