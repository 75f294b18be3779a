package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
)

// tuned are the settings of a Postfix that goes as fast as we know how: nothing slows its clients, nothing is looked up, and the one
// receiver gets as many connections as it takes at once. Both sides of a comparison have them.
var tuned = map[string]string{
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

// milterSettings put a milter before all mail of a tuned Postfix.
func milterSettings(at string) map[string]string {
	return map[string]string{"smtpd_milters": at, "milter_default_action": "accept", "milter_protocol": "6"}
}

// alone starts a tuned Postfix that sends all mail to a sink. more are further settings.
func (b *rowBench) postfixTo(to *far, name string, more map[string]string) (*mta.Postfix, error) {
	main := make(map[string]string)
	for _, settings := range []map[string]string{tuned, more} {
		for k, v := range settings {
			main[k] = v
		}
	}
	dir := filepath.Join(b.dir, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return mta.StartPostfix(dir, mta.PostfixConfig{Relay: to.addr, Main: main})
}

// through sends a campaign to addr and returns how long it took, from the first byte to the last message at the sink.
func through(to *far, addr string, c load.Config) (time.Duration, error) {
	before, _, err := to.counts()
	if err != nil {
		return 0, err
	}
	c.Addr = addr
	begin := time.Now()
	report, err := load.Run(context.Background(), c)
	if err != nil {
		return 0, err
	}
	if report.Acked() != c.Messages {
		return 0, errors.New("a message was refused: " + firstRefusal(report))
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
