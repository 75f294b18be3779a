package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
	"github.com/millrace/millrace/test/scenario"
)

// proxy is row 3: a bulk listener of Postfix with Millrace before its queue, against the same Postfix's listener without it.
func (b *rowBench) proxy() (list []figure, err error) {
	p, front, err := b.proxied()
	defer func() { err = errors.Join(err, p.end()) }()
	if err != nil {
		return nil, err
	}
	c := load.Config{Messages: b.count(2500, 150), MinSize: b.size, Conns: 20, Personal: 0.05}
	ours := sending("with Millrace before its queue", c, front, p.to, p.with())
	only := sending("Postfix alone", c, p.Addr, p.to, p.meter())
	if err := takeTurns(b.turns(3), ours, only); err != nil {
		return nil, err
	}
	const name = "bulk through Postfix with Millrace before its queue, unix socket, to Postfix alone: "
	return []figure{
		ours.faster(3, name+"messages/s end to end", only, 2.2),
		ours.cheaper(3, name+"processor time a message", only, 0.45),
	}, nil
}

// proxied starts a tuned Postfix that has Millrace before its queue at the listener front.
func (b *rowBench) proxied() (p *post, front string, err error) {
	p = &post{}
	front, back, err := twoAddrs()
	if err != nil {
		return p, "", err
	}
	dir, at := filepath.Join(b.dir, "postfix"), filepath.Join(b.dir, "proxy.sock")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return p, "", err
	}
	if p.to, err = startSink(b.dir, false); err != nil {
		return p, "", err
	}
	hop := daemon.NextHop(p.to.addr)
	config := roomy + fmt.Sprintf("bulk.next_hops = [%q]\n[smtpd]\nsocket_mode = \"0666\"\nproxy = [\"unix:%s\"]\n", hop, at) +
		fmt.Sprintf("reinject = %q\n[route]\n\"*\" = %q\n", daemon.NextHop(back), hop)
	if p.daemon, err = scenario.NewMillrace(b.bin, filepath.Join(b.dir, "millrace"), "127.0.0.1:1", config); err != nil {
		return p, "", err
	}
	if p.profile, err = b.profiled(p.daemon.Daemon, "proxy"); err != nil {
		return p, "", err
	}
	if err := p.daemon.Start(); err != nil {
		return p, "", err
	}
	p.Postfix, err = mta.StartPostfix(dir, mta.PostfixConfig{Relay: p.to.addr, Main: tuned, Master: []string{
		front + " inet n - n - - smtpd\n -o smtpd_proxy_filter=unix:" + at + "\n",
		back + " inet n - n - - smtpd\n -o smtpd_authorized_xforward_hosts=127.0.0.0/8\n" +
			" -o receive_override_options=no_unknown_recipient_checks,no_milters\n",
	}})
	return p, front, err
}
