package standin

import "time"

// Flavor is the MTA that is imitated.
type Flavor int

const (
	// Postfix sends an ABORT after each message and macros before each header field and body chunk.
	Postfix Flavor = iota
	// Sendmail sends no ABORT after a message, and IPv6 addresses with a prefix. By default it sends {msg_id} at the
	// end of a message and no other macro there.
	Sendmail
)

// Options describe the MTA and its SMTP client. The zero value is a Postfix with a client on the network.
type Options struct {
	Flavor     Flavor
	Version    uint32        // of the protocol offered; 0: 6
	Actions    uint32        // offered; 0: all
	Protocol   uint32        // steps offered; 0: all
	ClientName string        // "": client.example.net
	ClientAddr string        // "": 192.0.2.25
	Helo       string        // "": the client's name
	DaemonName string        // "": smtpd
	DaemonPort string        // "": 25
	TLS        string        // {tls_version}
	ChunkSize  int           // of the body; 0: 65535
	Timeout    time.Duration // for each reply; 0: 30 s
}

func (o Options) withDefaults() Options {
	text := func(p *string, value string) {
		if *p == "" {
			*p = value
		}
	}
	text(&o.ClientName, "client.example.net")
	text(&o.ClientAddr, "192.0.2.25")
	text(&o.Helo, o.ClientName)
	text(&o.DaemonName, "smtpd")
	text(&o.DaemonPort, "25")
	if o.Version == 0 {
		o.Version = 6
	}
	if o.Actions == 0 {
		o.Actions = allActions
	}
	if o.Protocol == 0 {
		o.Protocol = allSteps
	}
	if o.ChunkSize == 0 {
		o.ChunkSize = 65535
	}
	if o.Timeout == 0 {
		o.Timeout = 30 * time.Second
	}
	return o
}
