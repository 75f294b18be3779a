package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
)

// tuned are the settings of a Postfix that goes as fast as we know how: nothing slows its clients, nothing is looked up, and the
// one receiver gets as many connections as it takes at once. Both sides of a comparison have them.
var tuned = map[string]string{
	"milter_default_action":                               "accept",
	"in_flow_delay":                                       "0",
	"hash_queue_names":                                    "incoming, active, deferred, defer",
	"hash_queue_depth":                                    "1",
	"default_process_limit":                               "200",
	"smtpd_client_connection_count_limit":                 "0",
	"smtpd_peername_lookup":                               "no",
	"smtp_host_lookup":                                    "native",
	"disable_dns_lookups":                                 "yes",
	"smtp_tls_security_level":                             "none",
	"smtpd_tls_security_level":                            "none",
	"smtp_connection_cache_destinations":                  "static:all",
	"smtp_connection_reuse_count_limit":                   "0",
	"initial_destination_concurrency":                     "20",
	"default_destination_concurrency_limit":               "20",
	"qmgr_message_active_limit":                           "100000",
	"enable_long_queue_ids":                               "yes",
	"smtputf8_enable":                                     "no",
	"smtpd_recipient_restrictions":                        "permit_mynetworks, reject",
	"smtpd_relay_restrictions":                            "permit_mynetworks, reject",
	"address_verify_map":                                  "",
	"default_destination_concurrency_failed_cohort_limit": "0",
}

// startPostfix starts a tuned Postfix that sends all mail to a sink. Its listeners have options of smtpd each.
func (b *rowBench) startPostfix(name string, to *far, listeners map[string][]string) (*mta.Postfix, error) {
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return mta.StartPostfix(dir, mta.PostfixConfig{Relay: to.addr, Main: tuned, Listeners: listeners})
}

// sending is a campaign that is sent to an address. It is over when all of it has come to a sink; nil: with the last reply.
func sending(name string, c load.Config, addr string, to *far, m meter) *way {
	return &way{name: name, round: func(int) (effort, error) {
		c.Seed = rand.Uint64() // another campaign each time
		if err := m.begin(); err != nil {
			return effort{}, err
		}
		took, err := through(to, addr, c)
		if err != nil {
			return effort{}, err
		}
		return m.end(c.Messages, took)
	}}
}

// through sends a campaign to addr and returns how long it took: from the first byte to the last message at the sink, or to the
// last reply if there is no sink.
func through(to *far, addr string, c load.Config) (time.Duration, error) {
	var before int64
	if to != nil {
		var err error
		if before, _, err = to.counts(); err != nil {
			return 0, err
		}
	}
	c.Addr = addr
	begin := time.Now()
	report, err := load.Run(context.Background(), c)
	took := time.Since(begin)
	if err != nil {
		return 0, err
	}
	if report.Acked() != c.Messages {
		return 0, errors.New("a message was refused: " + firstRefusal(report))
	}
	if to == nil {
		return took, nil
	}
	end, err := to.when(before+int64(c.Messages), 3*time.Minute)
	return end.Sub(begin), err
}

func firstRefusal(r load.Report) string {
	for i := range r.Records {
		if !r.Records[i].Acked {
			return r.Records[i].Reply
		}
	}
	return ""
}
