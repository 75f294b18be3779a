package setup

import (
	"strings"
	"time"
)

// check is one known trouble. Its code, severity, text and action are the same wherever it is found.
type check struct {
	code     string
	severity Severity
	text     string // what would happen
	action   string // the repair

	postfix, sendmail func(*exam) []Place // where it is found; nil for an MTA that does not have it
}

// checks are all known troubles. What a look could not read is named last, so the order matters to table-unreadable.
func checks() []check {
	var all []check
	for _, some := range [][]check{connectionChecks(), serviceChecks(), doorChecks(), envelopeChecks(), filterChecks(), routeChecks(), deliveryChecks(), noteChecks()} {
		all = append(all, some...)
	}
	return all
}

// connectionChecks: does the MTA ask Millrace, and what if Millrace does not answer?
func connectionChecks() []check {
	slow := longer(10 * time.Second)
	return []check{
		{"milter-not-asked", Error, "The MTA does not offer its mail to Millrace, which takes nothing.",
			"Add Millrace as contrib/postfix or contrib/sendmail says, or correct milter.listen.",
			notAsked, sendmailNotAsked},
		{"milter-elsewhere", Error, "The MTA looks for Millrace at an address where Millrace does not listen.",
			"Name one address in both files. A Postfix service in a chroot finds a socket below queue_directory only.",
			elsewhere, sendmailElsewhere},
		{"milter-socket", Error, "Postfix may not open Millrace's socket: Millrace is asked nothing.",
			"Set milter.socket_group to a group of Postfix, and let that group pass the directory, as contrib/postfix says.",
			closedSocket, nil},
		{"milter-default-action", Error, "The MTA refuses mail, also mail that is not bulk, while Millrace is down.",
			"Write default_action=accept behind the milter's address in Postfix; leave F= out in Sendmail.",
			milterOption("default_action", "milter_default_action", func(v string) bool { return v != "accept" }), filterFlags},
		{"milter-protocol", Error, "Millrace takes nothing: milter protocols below 6 lose the blank behind a header's colon.",
			"Remove milter_protocol from main.cf; 6 is the default.",
			milterOption("protocol", "milter_protocol", func(v string) bool { return v < "6" }), nil},
		{"milter-connect-timeout", Warning, "A Millrace that cannot be reached holds each SMTP client for this time.",
			"Write connect_timeout=2s behind the milter's address in Postfix; T=C:2s in Sendmail.",
			milterOption("connect_timeout", "milter_connect_timeout", slow), filterTimeout("C", "5m", func(d time.Duration) bool { return d > 10*time.Second })},
		{"milter-command-timeout", Note, "A Millrace that hangs, and is not dead, holds each SMTP client for this time.",
			"Write command_timeout=10s behind the milter's address; leave T=R:10s in Sendmail.",
			milterOption("command_timeout", "milter_command_timeout", slow), filterTimeout("R", "10s", func(d time.Duration) bool { return d > 10*time.Second })},
		{"milter-content-timeout", Warning, "The MTA may give up while Millrace writes a message down. That message then arrives twice.",
			"Write content_timeout=60s behind the milter's address in Postfix; T=E:1m in Sendmail.",
			milterOption("content_timeout", "milter_content_timeout", shorter(30*time.Second)),
			filterTimeout("E", "5m", func(d time.Duration) bool { return d < 30*time.Second })},
		{"milter-tcp", Note, "By TCP the MTA needs more time for each message than by a unix socket, and every user of the host may hand in mail.",
			"Let Millrace listen on a unix socket, as contrib/postfix and contrib/sendmail do.", overTCP, byTCP},
	}
}

// serviceChecks: which mail does the MTA offer, and where does mail go that Millrace gives back?
func serviceChecks() []check {
	return []check{
		{"inject-refuses", Error, "Bounces and handed-back mail have nowhere to go: they wait until this listener answers.",
			"Start the MTA, or make the listener of contrib/postfix or contrib/sendmail and name it in bounce.inject.",
			injectRefuses, injectRefuses},
		{"inject-offers", Warning, "Mail that Millrace gives back is offered to Millrace again. Each message costs the dialogue twice.",
			"Give bounce.inject a listener without milters, as contrib/postfix and contrib/sendmail do.",
			injectOffers, sendmailInjectOffers},
		{"no-handback", Note, "Millrace gives no mail back to this MTA: notifications go to the MX of their receivers, and mail that Millrace cannot send waits until it expires.",
			"Name a listener of this MTA in bounce.inject, as contrib/postfix and contrib/sendmail do.", noHandback, noHandback},
		{"sendmail-offered", Warning, "Mail by sendmail(1) is offered to Millrace. Postfix does not say where it would send such mail, so Millrace takes none; " +
			"with bulk.without_mailer it takes it past every route. All local mail waits in one line for Millrace.",
			"Write the milters of local mail into non_smtpd_milters without Millrace.", localOffered, nil},
		{"in-flow-delay", Warning, "Postfix slows a campaign that Millrace takes whole to about one message a second on each connection.",
			"Remove drip = false, or write in_flow_delay = 0 into main.cf.", brake, nil},
		{"held-processes", Warning, "Replies that wait for room may keep most processes of this listener busy, and other mail waits for one.",
			"Write the number of its processes as gate.mta_processes, or lower gate.max_held.", crowded, nil},
		{"no-milters", Warning, "This listener asks no milter at all, also not Millrace.",
			"Remove no_milters where bulk mail comes in; leave it at listeners for mail that comes back.", received(func(value string) (string, bool) {
				return "", strings.Contains(value, "no_milters")
			}, "receive_override_options"), nil},
		{"milter-maps", Note, "Clients in this table meet other milters than those of smtpd_milters.",
			"Look whether Millrace is among them.", received(nil, "smtpd_milter_maps"), nil},
		{"service-not-offered", Note, "Mail of this listener is never offered to Millrace.",
			"Add Millrace to its list of milters if bulk mail comes in there.", notOffered, sendmailNotOffered},
	}
}

// envelopeChecks: what does the MTA do to addresses that a milter is not told?
func envelopeChecks() []check {
	const rule = "Keep that mail with the MTA by a [[bulk.rule]] with take = false, or use a listener before which the addresses are final."
	return []check{
		{"virtual-alias", Warning, "Mail that Millrace takes goes to the address the client named, and not to what the alias stands for.",
			"Put the domains into bulk.local_domains, so that their mail stays.", aliases, nil},
		{"canonical-maps", Warning, "Mail that Millrace takes keeps its envelope addresses as the client gave them: these maps are bypassed.", rule, canonical(false), nil},
		{"srs", Warning, "Mail that Millrace takes keeps its sender: postsrsd does not rewrite it, and receivers refuse forwarded mail by SPF.",
			"Give Millrace a listener for bulk alone, as contrib/postfix/FILTERS.md does: forwarded mail does not come in there.", canonical(true), nil},
		{"masquerade", Warning, "Mail that Millrace takes keeps its sender: masquerading is bypassed.", rule,
			cleaned(nil, "masquerade_domains"), sendmailMasquerade},
		{"generic-maps", Warning, "Mail that Millrace takes keeps its addresses: the rewriting at delivery is bypassed.", rule,
			sent(nil, "smtp_generic_maps"), sendmailTable("generics")},
		{"bcc", Warning, "No copy is made of mail that Millrace takes, but for one message in 40 or more by which Millrace wakes Postfix.",
			"Set bulk.keep_added = true: recipients that Postfix adds then get the message from Postfix.", copies, nil},
	}
}

// filterChecks: what else looks at mail, and is bypassed or bypasses?
func filterChecks() []check {
	return []check{
		{"content-filter", Warning, "Mail that Millrace takes does not pass the content filter: it is neither scanned nor signed there.",
			"Take Millrace from the listeners before the filter and give it to the listener where the filter hands mail back. " +
				"For amavis: no milter on port 25, Millrace on 127.0.0.1:10025, there without no_milters (contrib/postfix/FILTERS.md).",
			foreign("content_filter"), nil},
		{"proxy-filter", Warning, "This listener shows milters the envelope and no content, so Millrace takes nothing there.",
			"Give Millrace to the listener behind the proxy.", foreign("smtpd_proxy_filter"), nil},
		{"header-checks", Warning, "Millrace is not told of these actions: bulk mail that Postfix would hold, redirect, copy or filter is sent.",
			"Refuse such mail with REJECT, which Postfix obeys first, or keep it with the MTA by a [[bulk.rule]] with take = false.", headerChecks, nil},
		{"access-action", Warning, "Millrace is not told of these actions: bulk mail that Postfix would hold, redirect, copy or filter is sent.",
			"Refuse such mail with REJECT, or keep it with the MTA by a [[bulk.rule]] with take = false.", accessActions, nil},
		{"policy-action", Warning, "This policy server may answer HOLD, REDIRECT or FILTER. Millrace is not told: the mail is sent.",
			"Have the server refuse or defer such mail, or give Millrace a listener for bulk alone (contrib/postfix/FILTERS.md).", policies(true), nil},
		{"front-changes-envelope", Warning, "This milter stands in front and may change sender or recipients. Millrace is not told: mail goes to whom the client named.",
			"Take the milter's option for that away (spamass-milter: -b), let it add recipients only and set bulk.keep_added = true (-B), or give Millrace a listener for bulk alone (contrib/postfix/FILTERS.md).", inFront(true), inFront(true)},
		{"milter-behind", Warning, "This milter stands behind Millrace. It never sees a message that Millrace takes, and neither signs nor scans it.",
			"Put Millrace last.", behind, behind},
		{"smtp-checks", Warning, "What these checks change at delivery is not changed in mail that Millrace takes.",
			"Make the change in header_checks, which milters see.",
			sent(nil, "smtp_header_checks", "smtp_mime_header_checks", "smtp_nested_header_checks", "smtp_body_checks"), nil},
	}
}

// routeChecks: does Millrace send where the MTA would? What stays is a note, because nothing is undone.
func routeChecks() []check {
	const list = "Millrace takes such mail if bulk.next_hops lists the next hop and [route] names it too; beside Sendmail's smart host bulk.mailers needs \"relay\"."
	return []check{
		{"route-bypassed", Warning, "bulk.next_hops lists this next hop, and [route] does not name it: Millrace sends such mail straight to the recipients' domains.",
			`Give [route] the same next hop ("*" = "[host]:port"), or take it out of bulk.next_hops.`, everywhere(bypassed, either), smartHost(bypassed)},
		{"transport-bypassed", Warning, "bulk.next_hops lists next hops of this table, and [route] does not name them for these domains: Millrace sends such mail straight to them.",
			"Give [route] the same next hops, or take them out of bulk.next_hops.",
			transports(bypassed, "transport_maps", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"), nil},
		{"relay-login", Warning, "Postfix logs in at its relay host, and Millrace sends there without a login.",
			"Take the host out of bulk.next_hops, so that its mail stays, or let this host relay without a login.", loginsNeeded, nil},
		{"without-mailer", Warning, "Millrace takes mail of which the MTA does not say where it would send it, past every route.",
			"Remove bulk.without_mailer.", withoutMailer, withoutMailer},
		{"route-alone", Note, "[route] names this next hop, and bulk.next_hops does not list it. [route] alone permits nothing: the mail stays with the MTA.",
			"List it in bulk.next_hops as the MTA writes it.", everywhere(stays, named), nil},
		{"relay-host", Note, "All mail that goes there stays with the MTA: Millrace takes nothing.", list, everywhere(stays, notNamed), smartHost(stays)},
		{"transport-maps", Note, "Mail that this table sends elsewhere stays with the MTA.", list,
			transports(stays, "transport_maps", "sender_dependent_relayhost_maps", "sender_dependent_default_transport_maps"),
			sendmailTable("mailertable", "virtuser")},
	}
}

// deliveryChecks: does Millrace deliver as Postfix would?
func deliveryChecks() []check {
	return []check{
		{"tls-policy", Warning, "Millrace encrypts where the receiver offers it and asks no more: mail for which Postfix wants TLS may go in clear.",
			"Keep mail for those domains with the MTA by bulk.local_domains.", sent(func(value string) (string, bool) {
				return strictTLS(value)
			}, "smtp_tls_security_level", "smtp_tls_policy_maps", "smtp_enforce_tls", "smtp_tls_per_site"), nil},
		{"source-address", Warning, "Millrace sends from another address than Postfix. SPF and the receivers' trust may hang on it.",
			"Set smtp.bind_address and smtp.bind_address6.", sourceAddress, nil},
		{"soft-bounce", Warning, "Postfix keeps mail that a receiver refuses for good. Millrace returns it to the sender.",
			"Set soft_bounce = no when the test is over, or leave Millrace in observe mode.", sent(is("yes"), "soft_bounce"), nil},
		{"defer-transports", Warning, "Postfix holds back what goes by this transport. Millrace sends it.",
			"Set mode = \"observe\" for as long, or stop Millrace.", deferredTransports, nil},
		{"fallback-relay", Note, "Postfix sends there what it cannot deliver. Millrace tries again, and hands mail back to the MTA as [handback] says.",
			"Set handback.after or handback.visits if the relay must get it.", sent(nil, "smtp_fallback_relay"), nil},
		{"rate-delay", Note, "Millrace does not keep this pause between deliveries.", "Keep mail for slow receivers with the MTA by bulk.local_domains.", slowed, nil},
		{"helo-name", Note, "Millrace greets receivers by another name than Postfix. They distrust a name to which the address does not lead back.",
			"Set smtp.helo_name to the name of Postfix, unless Millrace sends from an address of its own.", otherGreeting, nil},
		{"ipv4-only", Note, "Postfix sends over IPv4 alone. Millrace uses IPv6 too where this host has it.", "Set dns.ipv4_only = true.", ipv4Alone, nil},
	}
}

// noteChecks: what is good to know.
func noteChecks() []check {
	return []check{
		{"short-queue-ids", Note, "Postfix uses short queue ids again after a while. In the log and in \"millrace queue show\" one id may mean two messages.",
			"postconf -e enable_long_queue_ids=yes", sent(is("no"), "enable_long_queue_ids"), nil},
		{"size-limit", Note, "The MTA accepts larger messages than Millrace takes. They stay with the MTA.", "Raise bulk.size_limit if they are bulk.", tooLarge, nil},
		{"writes-first", Note, "Sendmail writes each message to disk before it asks Millrace. Taking the message saves nothing.",
			"define(`confSAFE_QUEUE', `PostMilter')", nil, writesFirst},
		{"policy-service", Note, "This policy server is not known here. Millrace is not told if it answers HOLD, REDIRECT or FILTER.",
			"Look into the server's rules.", policies(false), nil},
		{"front-milter", Note, "This milter stands in front and is not known here. Millrace is not told if it changes sender or recipients.",
			"Look into the milter's options.", inFront(false), inFront(false)},
		{"table-unreadable", Note, "This table may have entries that Millrace would bypass, and cannot be read here.",
			"Look into the table, or run the check as a user who may read it.", unreadTables, nil},
	}
}
