package main

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/scenario"
)

// post is one tuned Postfix with a listener for each way that is compared, and one sink that gets all mail. Only one of them works
// at a time.
type post struct {
	*mta.Postfix
	daemon *scenario.Millrace
	bare   *peerMilter
	to     *far

	profile *profiled
}

// newPost starts a Postfix with the listeners "millrace" and "bare", each with its milter at a unix socket, and what more makes of
// Millrace's socket. Its own first listener has no milter. bulk is more of Millrace's table of that name, and bare what the other
// milter does.
func (b *rowBench) newPost(bulk, bare string, more func(socket string) map[string][]string) (p *post, err error) {
	p = &post{}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.end())
		}
	}()
	if p.to, err = startSink(b.dir, false); err != nil {
		return p, err
	}
	if p.bare, err = startMilter(b.dir, bare); err != nil {
		return p, err
	}
	hop := daemon.NextHop(p.to.addr)
	const tables = "milter.socket_mode = \"0666\"\n[bulk]\nnext_hops = [%q]\n%s[route]\n\"*\" = %q\n"
	config := roomy + fmt.Sprintf(tables, hop, bulk, hop)
	if p.daemon, err = scenario.NewMillrace(b.bin, b.dir+"/millrace", "127.0.0.1:1", config); err != nil {
		return p, err
	}
	if p.profile, err = b.profiled(p.daemon.Daemon, "postfix"); err != nil {
		return p, err
	}
	if err := p.daemon.Start(); err != nil {
		return p, err
	}
	if _, err := p.daemon.Recovered(); err != nil {
		return p, err
	}
	listeners := map[string][]string{
		"millrace": {"smtpd_milters=unix:" + p.daemon.MilterSocket()},
		"bare":     {"smtpd_milters=unix:" + p.bare.socket},
	}
	if more != nil {
		maps.Copy(listeners, more(p.daemon.MilterSocket()))
	}
	p.Postfix, err = b.startPostfix("postfix", p.to, listeners)
	return p, err
}

// end ends all that was started.
func (p *post) end() (err error) {
	if p.Postfix != nil {
		err = p.Stop()
	}
	if p.daemon != nil && !p.daemon.Over() {
		err = errors.Join(err, p.daemon.Kill())
	}
	if p.bare != nil {
		err = errors.Join(err, endPeer(p.bare.Process))
	}
	if p.to != nil {
		err = errors.Join(err, p.to.close())
	}
	return err
}

// postfix is rows 1 and 2: a campaign of bulk.
func (b *rowBench) postfix() (list []figure, err error) {
	p, err := b.newPost("", "discard", nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, p.end()) }()
	c := load.Config{Messages: b.count(2500, 150), MinSize: b.size, Conns: 20, Personal: 0.05}
	only := sending("Postfix alone", c, p.Addr, p.to, p.meter())
	ours := sending("with Millrace", c, p.Listener("millrace"), p.to, p.with())
	gone := sending("with a milter that discards", c, p.Listener("bare"), nil, p.meter(p.bare.CPU))
	if err := takeTurns(b.turns(3), only, ours, gone); err != nil {
		return nil, err
	}
	const name = "bulk through Postfix with Millrace, unix socket, to "
	return []figure{
		ours.faster(1, name+"Postfix alone: messages/s end to end", only, 1.4),
		ours.cheaper(1, name+"Postfix alone: processor time a message", only, 0.8),
		over(gone.to(only, rateOf), func(v float64) figure {
			return beside(1, "a milter that discards, to Postfix alone: messages/s", v, notes(gone))
		}),
		over(gone.to(only, cpuOf), func(v float64) figure {
			return beside(1, "a milter that discards, to Postfix alone: processor time", v, "")
		}),
		ours.faster(2, name+"a milter that discards: messages/s", gone, 0.95),
	}, nil
}

// meter measures Postfix and what works beside it.
func (p *post) meter(others ...func() (time.Duration, error)) meter {
	return meter{used: append(others, p.CPU)}
}

// with measures Postfix and Millrace.
func (p *post) with() meter {
	m := p.meter(p.daemon.CPU)
	m.daemon, m.profile = p.daemon, p.profile
	return m
}
