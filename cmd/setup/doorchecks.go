package setup

import (
	"net"
	"slices"
	"strings"

	"github.com/millrace/millrace/filter"
)

// doorChecks: does the MTA use the SMTP door in a way that works?
func doorChecks() []check {
	return []check{
		{"reinject-loop", Error, "Mail that Millrace sends on to smtpd.reinject comes back to Millrace by this filter, and goes round until it has too many hops.",
			"Write -o content_filter= and -o smtpd_proxy_filter= at the listener of smtpd.reinject, as contrib/postfix/DOORS.md does.",
			reinjectLoops, nil},
		{"reject-filter", Warning, "Postfix changes the answers of a proxy by this table: a 451 of Millrace, which asks for another try, may become a refusal for good.",
			"Let the table leave answers alone that begin with 4.", rejectFilter, nil},
	}
}

// isDoor reports whether a destination of Postfix, as "smtp:[127.0.0.1]:8896", "inet:127.0.0.1:8896" or "lmtp:unix:/path", is a listener
// of the SMTP door.
func (e *exam) isDoor(destination string) bool {
	_, path, unix := strings.Cut(destination, "unix:")
	host, port, err := net.SplitHostPort(hostPort(destination))
	for spec := range e.Config.SMTPD.Specs() {
		network, address, wrong := filter.ParseListen(spec)
		switch {
		case wrong != nil || unix != (network == "unix"):
		case unix && path == address, !unix && err == nil && sameSocket(address, net.JoinHostPort(host, port)):
			return true
		}
	}
	return false
}

// hostPort cuts the names of a transport and of a kind from a destination.
func hostPort(destination string) string {
	if i := strings.IndexByte(destination, '['); i >= 0 {
		return strings.NewReplacer("[", "", "]", "").Replace(destination[i:])
	}
	parts := strings.Split(destination, ":")
	return strings.Join(parts[max(len(parts)-2, 0):], ":")
}

// foreign looks for filters that are not our own SMTP door.
func foreign(name string) func(*exam) []Place {
	look := received(nil, name)
	return func(e *exam) []Place {
		return slices.DeleteFunc(look(e), func(p Place) bool { return e.isDoor(p.Value) })
	}
}

// reinjectLoops finds a filter at the listener of smtpd.reinject that leads to our door.
func reinjectLoops(e *exam) []Place {
	var found places
	_, port, err := net.SplitHostPort(e.Config.SMTPD.Reinject)
	if err != nil {
		return nil
	}
	for _, l := range e.MTA.Postfix.listeners() {
		for _, name := range []string{"content_filter", "smtpd_proxy_filter"} {
			if s := l.postfix.of(l.smtpd, name); l.port() == port && e.isDoor(s.value) {
				found.note(s, "smtpd.reinject is "+e.Config.SMTPD.Reinject)
			}
		}
	}
	return found
}

// rejectFilter finds the table at a listener whose proxy is our door.
func rejectFilter(e *exam) []Place {
	var found places
	for _, l := range e.MTA.Postfix.listeners() {
		if e.isDoor(l.postfix.of(l.smtpd, "smtpd_proxy_filter").value) {
			found.judge(l.postfix.of(l.smtpd, "smtpd_reject_filter_maps"), nil)
		}
	}
	return found
}
