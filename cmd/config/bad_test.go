package config

import (
	"errors"
	"strings"
	"testing"
)

// badConfig is a configuration with one mistake. Where hostname does not matter, the test puts it at the end of line 1.
type badConfig struct {
	name string
	text string
	line int
	key  string
	want string // part of the message
}

var badConfigs = []badConfig{
	// The text is no TOML.
	{"no equals sign", "mode\n", 1, "", "expected '.' or '='"},
	{"no value", "mode =\n", 1, "", "value"},
	{"bare word", "mode = deliver\n", 1, "", "expected value"},
	{"quote left open", "hostname = \"a.example\nmode = 'observe'\n", 1, "", "newlines"},
	{"text behind a value", "mode = 'observe' 'deliver'\n", 1, "", "expected"},
	{"bracket left open", "[queue\norder = 'longest'\n", 2, "", "expected '.' or ']' to end table name"},
	{"list left open", "[milter]\nlisten = ['inet:127.0.0.1:1',\n", 2, "", "unexpected EOF"},
	{"key twice", "[queue]\nchannels = 5\nchannels = 6\n", 3, "", "has already been defined"},
	{"table twice", "[queue]\nchannels = 5\n[pool]\nidle = '1s'\n[queue]\n", 5, "", "has already been defined"},
	{"table and list of tables", "[bulk.rule]\nname = 'a'\n[[bulk.rule]]\n", 3, "", "cannot be used as an array"},
	{"bare star", "[route]\n* = '[127.0.0.1]:25'\n", 2, "", "expected"},
	{"bad escape", "mode = \"\\d\"\n", 1, "", "escape"},
	{"NUL", "mode = 'observe'\n# \x00\n", 2, "", "control characters"},
	{"not UTF-8", "mode = 'observe'\n# \xff\n", 2, "", "UTF-8"},
	{"leading zero", "[queue]\nchannels = 007\n", 2, "", "leading zeroes"},
	{"number too large for any", "[queue]\nchannels = 99999999999999999999\n", 2, "", "out of range"},

	// A key is not known.
	{"misspelled", "mdoe = 'observe'\n", 1, "mdoe", "did you mean mode?"},
	{"capital letter", "Mode = 'observe'\n", 1, "Mode", "did you mean mode?"},
	{"hyphen", "state-dir = '/x'\n", 1, "state-dir", "did you mean state_dir?"},
	{"nothing like it", "zzzzzz = 1\n", 1, "zzzzzz", "there are ack, bounce, bulk"},
	{"misspelled in a table", "\n\n[queue]\n# a comment\nodrer = 'longest'\n", 5, "queue.odrer", "did you mean queue.order?"},
	{"misspelled table", "[queu]\norder = 'longest'\n", 1, "queu", "did you mean queue?"},
	{"misspelled table below", "[bulk]\nmax_hops = 5\n[[bulk.rules]]\nname = 'a'\n", 3, "bulk.rules", "did you mean bulk.rule?"},
	{"in the second rule", "[[bulk.rule]]\nheader = 'A'\n[[bulk.rule]]\nheadr = 'B'\n", 4, "bulk.rule[1].headr", "did you mean bulk.rule[1].header?"},
	{"in an inline table", "[bulk]\nrule = [\n{header = 'A'},\n{headr = 'B'}]\n", 4, "bulk.rule[1].headr", "did you mean bulk.rule[1].header?"},
	{"dotted", "queue.max_lenght = 5\n", 1, "queue.max_lenght", "did you mean queue.max_length?"},
	{"key of another table", "[queue]\nschedule = ['5m']\n", 2, "queue.schedule", "did you mean retry.schedule?"},
	{"key of a table at the top", "listen = ['inet:127.0.0.1:1']\n", 1, "listen", "did you mean milter.listen?"},
	{"key of the top in a table", "[queue]\nhostname = 'a.example'\n", 2, "queue.hostname", "must stand outside"},
	{"ack in its table", "[journal]\nack = 'memory'\n", 2, "journal.ack", "must stand outside"},
	{"mode of one door", "[milter]\nmode = 'deliver'\n", 2, "milter.mode", "must stand outside of this table"},
	{"snapshot below itself", "[snapshot.snapshot]\ninterval = '1m'\n", 1, "snapshot.snapshot", "is not a known key"},
	{"behind a long string", "[log]\nname = \"\"\"\na\nb\"\"\"\nnmae = 'x'\n", 5, "log.nmae", "did you mean log.name?"},
	{"empty key", "\"\" = 1\n", 1, `""`, "is not a known key"},

	// A value has the wrong type.
	{"number for a string", "mode = 1\n", 1, "mode", `wants a string in quotes, not the number 1`},
	{"truth for a string", "mode = true\n", 1, "mode", "wants a string in quotes, not true"},
	{"list for a string", "[control]\nsocket = ['/a']\n", 2, "control.socket", "wants a string in quotes, not a list"},
	{"date for a string", "[log]\nname = 2026-01-02\n", 2, "log.name", "not a date or time"},
	{"string for a number", "[queue]\nchannels = '500'\n", 2, "queue.channels", `wants a whole number, not the string "500"; write it without quotes`},
	{"fraction for a number", "[queue]\nchannels = 1.5\n", 2, "queue.channels", "wants a whole number, not the number 1.5"},
	{"word for a number", "[queue]\nchannels = 'many'\n", 2, "queue.channels", `not the string "many"`},
	{"number too large", "[dns]\nport = 70000\n", 2, "dns.port", "it goes from 0 to 65535"},
	{"negative port", "[dns]\nport = -1\n", 2, "dns.port", "it goes from 0 to 65535"},
	{"string for a share", "[retry]\njitter = '0.1'\n", 2, "retry.jitter", "wants a number, not the string"},
	{"no number", "[retry]\njitter = nan\n", 2, "retry.jitter", "wants a number, not the number NaN"},
	{"string for truth", "[[bulk.rule]]\nheader = 'X'\ntake = 'true'\n", 3, "bulk.rule[0].take", "wants true or false, not the string \"true\"; write it without quotes"},
	{"number for truth", "[dns]\nipv4_only = 1\n", 2, "dns.ipv4_only", "wants true or false"},
	{"number for a duration", "[retry]\nlifetime = 3600\n", 2, "retry.lifetime", `write "3600s" for seconds`},
	{"no duration", "[retry]\nlifetime = 'long'\n", 2, "retry.lifetime", `"long" is not a duration`},
	{"duration with a space", "[retry]\nlifetime = '5 m'\n", 2, "retry.lifetime", `"5 m" is not a duration`},
	{"days", "[retry]\nlifetime = '2d'\n", 2, "retry.lifetime", `write "48h"`},
	{"string for a list", "[milter]\nlisten = 'inet:127.0.0.1:8895'\n", 2, "milter.listen", `write ["inet:127.0.0.1:8895"]`},
	{"number in a list", "[milter]\nlisten = ['inet:127.0.0.1:8895',\n8896]\n", 3, "milter.listen[1]", "not the number 8896"},
	{"duration for a list", "[retry]\nschedule = '5m'\n", 2, "retry.schedule", "wants a list in brackets"},
	{"value for a table", "queue = 'longest'\n", 1, "queue", "wants a table, not the string"},
	{"table for a value", "[mode]\nname = 'x'\n", 1, "mode", "wants a string in quotes, not a table"},
	{"one table for a list of them", "[bulk.rule]\nheader = 'X'\n", 1, "bulk.rule", "wants tables, each under its own [[name]], not a table"},
	{"list of tables for one", "[[queue]]\norder = 'longest'\n", 1, "queue", "wants a table, not a list"},
	{"value for a rule", "[bulk]\nrule = ['List-Id']\n", 2, "bulk.rule[0]", "wants a table, not the string"},
	{"domain without quotes", "[route]\nexample.com = '[127.0.0.1]:25'\n", 2, "route.example", "a name with dots needs quotes"},
	{"number for a next hop", "[route]\n'example.com' = 25\n", 2, `route."example.com"`, "wants a string in quotes, not the number 25"},
	{"not a network", "[dns]\nallow = ['10.0.0.0']\n", 2, "dns.allow[0]", "10.0.0.0"},
	{"number for an address", "[dns]\nown = [1]\n", 2, "dns.own[0]", "wants a string in quotes, not the number 1"},

	// A value is not possible.
	{"mode", "mode = 'both'\n", 1, "mode", `use "observe" or "deliver"`},
	{"ack", "ack = 'never'\n", 1, "ack", `"never" is not "journal", "written" or "memory"`},
	{"state_dir", "state_dir = 'spool'\n", 1, "state_dir", "is not a path from the root"},
	{"listen without kind", "[milter]\nlisten = [\n'inet:127.0.0.1:8895',\n'8896']\n", 4, "milter.listen[1]", "has no kind"},
	{"listen on a relative path", "[milter]\nlisten = ['unix:milter.sock']\n", 2, "milter.listen[0]", "must begin with /"},
	{"one socket for two", "[control]\nsocket = '/run/a'\n[milter]\nlisten = ['unix:/run/a']\n", 4, "milter.listen[0]", "is the control socket too"},
	{"listen beyond this host", "[milter]\nlisten = ['inet:0.0.0.0:8895']\n", 2, "milter.listen[0]", `allow = ["192.0.2.25/32"]`},
	{"allow with host bits", "[milter]\nallow = ['192.0.2.25/24']\n", 2, "milter.allow[0]", "write 192.0.2.0/24"},
	{"allow without a length", "[milter]\nallow = ['192.0.2.25']\n", 2, "milter.allow[0]", "192.0.2.25"},
	{"mode as a number of the wrong base", "[milter]\nsocket_mode = '0888'\n", 2, "milter.socket_mode", `write "0660"`},
	{"mode that shuts the owner out", "[milter]\nsocket_mode = '0060'\n", 2, "milter.socket_mode", `write "0660"`},
	{"no sessions", "[milter]\nmax_sessions = 0\n", 2, "milter.max_sessions", "less than 1"},
	{"rule without condition", "[[bulk.rule]]\nheader = 'A'\n\n[[bulk.rule]]\nname = 'x'\n", 4, "bulk.rule[1].header", "no condition"},
	{"pattern", "[[bulk.rule]]\nheader = 'A'\nvalue = '('\n", 3, "bulk.rule[0].value", "missing closing )"},
	{"client", "[[bulk.rule]]\nclient = '10.0.0.0/33'\n", 2, "bulk.rule[0].client", "10.0.0.0/33"},
	{"share without a percent sign", "[bulk]\nshare = '10'\n", 2, "bulk.share", `write it like "10%"`},
	{"share as a number", "[bulk]\nshare = 10\n", 2, "bulk.share", "10"},
	{"share of nothing", "[bulk]\nshare = '0%'\n", 2, "bulk.share", "more than"},
	{"share by something else", "[bulk]\nshare_by = 'client'\n", 2, "bulk.share_by", `use "sender" or "domain"`},
	{"size limit", "[bulk]\nsize_limit = -1\n", 2, "bulk.size_limit", "less than 1"},
	{"return to no listener", "[gate]\noverflow = 'return'\n", 2, "gate.overflow", "listener of smtpd.filter"},
	{"return of a rule to no listener", "[[bulk.rule]]\nheader = 'X'\noverflow = 'return'\n", 3, "bulk.rule[0].overflow", "listener of smtpd.filter"},
	{"flush by a name", "[smtpd]\nfilter = ['inet:127.0.0.1:8896']\nreinject = '[127.0.0.1]:10027'\nflush = ['postqueue', '-f']\n", 4, "smtpd.flush[0]", "/usr/sbin/postqueue"},
	{"flush of everything", "[smtpd]\nfilter = ['inet:127.0.0.1:8896']\nreinject = '[127.0.0.1]:10027'\nflush = ['/usr/sbin/postqueue', '-f']\n", 4, "smtpd.flush", "{id}"},
	{"order", "[queue]\norder = 'fifo'\n", 2, "queue.order", `use "round-robin", "longest" or "longest-aged"`},
	{"max_age", "[queue]\nmax_age = '-1m'\n", 2, "queue.max_age", "is not a positive duration"},
	{"max_bytes", "[queue]\nmax_bytes = 5\n", 2, "queue.max_bytes", "less than 1048576"},
	{"empty schedule", "[retry]\nschedule = []\n", 2, "retry.schedule", "is empty"},
	{"jitter", "[retry]\njitter = 1.5\n", 2, "retry.jitter", "not between 0 and 1"},
	{"lifetime", "[retry]\nlifetime = '0s'\n", 2, "retry.lifetime", "is not a positive duration"},
	{"visits", "[handback]\nvisits = -1\n", 2, "handback.visits", "is negative"},
	{"next hop", "[route]\n'*' = '[127.0.0.1:25'\n", 2, `route."*"`, "closing bracket"},
	{"next hop without brackets", "[route]\n'*' = '127.0.0.1:25'\n", 2, `route."*"`, "write it in brackets"},
	{"routed domain", "[route]\n'a b' = '[127.0.0.1]:25'\n", 2, `route."a b"`, "is no domain"},
	{"ack below [route]", "[route]\n'*' = '[127.0.0.1]:25'\nack = 'memory'\n", 3, "route.ack", "move the line above all tables"},
	{"mode below [route]", "[route]\nmode = 'deliver'\n", 2, "route.mode", "is a key of the top of the file"},
	{"no rule and no default rule", "[bulk]\ndefaults = false\n", 2, "bulk.defaults", "nothing would be taken"},
	{"rule's name with a blank", "[[bulk.rule]]\nname = 'invoices stay'\nheader = 'X'\n", 2, "bulk.rule[0].name", `write it like "invoices-stay"`},
	{"transport of Postfix", "[route]\n'a.test' = 'smtp:[relay.test]:25'\n", 2, `route."a.test"`, `write the next hop alone: "[relay.test]:25"`},
	{"transport without next hop", "[route]\n'a.test' = 'relay:'\n", 2, `route."a.test"`, "without a next hop"},
	{"transport for the bounces", "[bounce]\ninject = 'smtp:[127.0.0.1]:25'\n", 2, "bounce.inject", `write the next hop alone: "[127.0.0.1]:25"`},
	{"listener twice", "[milter]\nlisten = ['inet:127.0.0.1:8895',\n'inet:127.0.0.1:8895']\n", 3, "milter.listen[1]", "is milter.listen[0] again"},
	{"listener twice by another name", "[milter]\nlisten = ['inet6:[::1]:8895',\n'inet:localhost:8895']\n", 3, "milter.listen[1]", "is milter.listen[0] again"},
	{"listener on all addresses and on one", "[milter]\nallow = ['192.0.2.0/24']\nlisten = ['inet:127.0.0.1:8895',\n'inet:0.0.0.0:8895']\n", 4, "milter.listen[1]", "is milter.listen[0] again"},
	{"unix listener twice", "[milter]\nlisten = ['unix:/run/a',\n'local:/run/a']\n", 3, "milter.listen[1]", "is milter.listen[0] again"},
	{"port too large", "[milter]\nlisten = ['inet:127.0.0.1:88950']\n", 2, "milter.listen[0]", "ports go to 65535"},
	{"bounces into the milter", "[bounce]\ninject = '[127.0.0.1]:8895'\n", 2, "bounce.inject", "is our own milter port"},
	{"bounces into the milter by name", "[bounce]\ninject = 'localhost:8895'\n", 2, "bounce.inject", "is our own milter port"},
	{"value as in Perl", "[[bulk.rule]]\nheader = 'X'\nvalue = '/^yes/i'\n", 3, "bulk.rule[0].value", `write it without them: "^yes"`},
	{"sender in angle brackets", "[[bulk.rule]]\nsender = '<news@example.org>'\n", 2, "bulk.rule[0].sender", `write "news@example.org"`},
	{"two senders", "[[bulk.rule]]\nsender = 'a@example.org, b@example.org'\n", 2, "bulk.rule[0].sender", "no sender has a blank or a comma"},
	{"client in brackets", "[[bulk.rule]]\nclient = '[192.0.2.1]'\n", 2, "bulk.rule[0].client", `write "192.0.2.1"`},
	{"network with a star", "[[bulk.rule]]\nclient = '192.0.2.*'\n", 2, "bulk.rule[0].client", "192.0.2.0/24"},
	{"network with a star, IPv6", "[[bulk.rule]]\nclient = '2001:db8::*'\n", 2, "bulk.rule[0].client", "neither an address nor a network"},
	{"listener with its address", "[[bulk.rule]]\nlistener = '127.0.0.1:10025'\n", 2, "bulk.rule[0].listener", `write "10025"`},
	{"mailer with a colon", "[bulk]\nmailers = ['smtp', 'relay:']\n", 2, "bulk.mailers[1]", `write "relay"`},
	{"empty mailer", "[bulk]\nmailers = ['']\n", 2, "bulk.mailers[0]", "is empty"},
	{"no listener", "[milter]\nlisten = []\n", 2, "milter.listen", "the MTA can offer nothing"},
	{"route into the milter", "[route]\n'*' = '[127.0.0.1]:8895'\n", 2, `route."*"`, "is our own milter port"},
	{"socket that is a directory", "[control]\nsocket = '/run/'\n", 2, "control.socket", "names a directory"},
	{"socket with a long path", "[milter]\nlisten = ['unix:/" + strings.Repeat("x", 107) + "']\n", 2, "milter.listen[0]", "the path has 108 bytes"},
	{"mail log that is a directory", "[log]\nmail = '/var/log/'\n", 2, "log.mail", "nor a file's path"},
	{"value with the field's name", "[[bulk.rule]]\nheader = 'X-Class'\nvalue = '^x-class: news'\n", 3, "bulk.rule[0].value", "leave the name out"},
	{"sender as Postfix writes subdomains", "[[bulk.rule]]\nsender = '.example.org'\n", 2, "bulk.rule[0].sender", `write "*.example.org"`},
	{"sender with a dot at its end", "[[bulk.rule]]\nsender = 'example.org.'\n", 2, "bulk.rule[0].sender", `write "example.org"`},
	{"sender as Postfix writes local parts", "[[bulk.rule]]\nsender = 'news@'\n", 2, "bulk.rule[0].sender", `write "news@*"`},
	{"client as Postfix writes subdomains", "[[bulk.rule]]\nclient = '.example.org'\n", 2, "bulk.rule[0].client", "write *.example.com"},
	{"port with a colon", "[[bulk.rule]]\nlistener = ':10025'\n", 2, "bulk.rule[0].listener", `write "10025"`},
	{"lane", "[[bulk.rule]]\nheader = 'X'\nlane = 'fast'\n", 3, "bulk.rule[0].lane", `use "bulk" or "urgent"`},
	{"lane of mail that stays", "[[bulk.rule]]\nheader = 'X'\ntake = false\nlane = 'urgent'\n", 4, "bulk.rule[0].lane", "leave lane out"},
	{"tenant without a name", "[[tenant]]\nsender = 'a@b.example'\n", 1, "tenant[0].name", "is empty"},
	{"tenant with a blank", "[[tenant]]\nsender = 'a@b.example'\nname = 'acme inc'\n", 3, "tenant[0].name", `write it like "acme-inc"`},
	{"tenant without a condition", "[[tenant]]\nname = 'a'\n", 1, "tenant[0].sasl_user", "has no condition"},
	{"two tenants of one name", "[[tenant]]\nname = 'a'\nclient = '192.0.2.1'\n[[tenant]]\nclient = '192.0.2.2'\nname = 'a'\n", 6, "tenant[1].name", "the other is in line 3"},
	{"tenant's login as a regular expression", "[[tenant]]\nname = 'a'\nsasl_user = '^a'\n", 3, "tenant[0].sasl_user", "of the shell's kind"},
	{"tenant's two senders", "[[tenant]]\nname = 'a'\nsender = 'a@b.example c@b.example'\n", 3, "tenant[0].sender", "write a tenant for each"},
	{"tenant's null sender", "[[tenant]]\nname = 'a'\nsender = '<>'\n", 3, "tenant[0].sender", "leave the tenant out"},
	{"tenant's value without a header", "[[tenant]]\nname = 'a'\nsender = 'b'\nvalue = 'x'\n", 4, "tenant[0].value", "give header too"},
	{"tenant's weight", "[[tenant]]\nname = 'a'\nsender = 'b'\nweight = 0\n", 4, "tenant[0].weight", "write 1 or more"},
	{"tenant's connections", "[[tenant]]\nname = 'a'\nsender = 'b'\nconnections = -1\n", 4, "tenant[0].connections", "0 is no limit"},
	{"tenant's rate", "[[tenant]]\nname = 'a'\nsender = 'b'\nrate = -0.5\n", 4, "tenant[0].rate", "0 is no limit"},
	{"tenant's weight beyond measure", "[[tenant]]\nname = 'a'\nsender = 'b'\nweight = 100000\n", 4, "tenant[0].weight", "is not between 1 and 10000"},
	{"tenant's rate without a unit", "[[tenant]]\nname = 'a'\nsender = 'b'\nrate = '50'\n", 4, "tenant[0].rate", "write a number and its unit"},
	{"tenant's rate once a week", "[[tenant]]\nname = 'a'\nsender = 'b'\nrate = '0.1/d'\n", 4, "tenant[0].rate", `is not between "1/d" and "1000000/s"`},
	{"no rate of a tenant", "[[tenant]]\nname = 'a'\nsender = 'b'\nrate = nan\n", 4, "tenant[0].rate", "0 is no limit"},
	{"tenant's rate as a list", "[[tenant]]\nname = 'a'\nsender = 'b'\nrate = [1]\n", 4, "tenant[0].rate", "wants a string"},
	{"tenant's source", "[[tenant]]\nname = 'a'\nsender = 'b'\nsources = ['x']\n", 4, "tenant[0].sources[0]", "is the name of no [[source]]"},
	{"tenant's lane", "[[tenant]]\nname = 'a'\nsender = 'b'\nlane = 'urgent'\n", 4, "tenant[0].lane", "is not a known key"},
	{"tenant's login misspelled", "[[tenant]]\nname = 'a'\nsasl_usr = 'b'\n", 3, "tenant[0].sasl_usr", "did you mean tenant[0].sasl_user?"},
	{"one table for tenants", "[tenant]\nname = 'a'\n", 1, "tenant", "each under its own [[name]]"},
	{"site without a condition", "[[site]]\nconnections = 5\n", 1, "site[0]", "matches no site; give mx, domain or provider"},
	{"site that gives nothing", "[[site]]\nmx = ['example.net']\n", 1, "site[0]", "gives nothing"},
	{"site's empty suffix", "[[site]]\nconnections = 5\nmx = ['a.example',\n'']\n", 4, "site[0].mx[1]", "is empty, so it never matches"},
	{"site's domain with an @", "[[site]]\nconnections = 5\ndomain = ['a@b.example']\n", 3, "site[0].domain[0]", `write "b.example"`},
	{"site of an unknown provider", "[[site]]\nconnections = 5\nprovider = 'google'\n", 3, "site[0].provider", "is not in the table of providers; it knows apple,"},
	{"site without connections", "[[site]]\nprovider = 'gmail'\nconnections = 0\nrate = '1/s'\n", 3, "site[0].connections", "leave the key out"},
	{"site's rate without a unit", "[[site]]\nprovider = 'gmail'\nrate = '50'\n", 3, "site[0].rate", `"50" does not fit: write a number and its unit, like "50/s"`},
	{"site's rate as a number", "[[site]]\nprovider = 'gmail'\nrate = 50\n", 3, "site[0].rate", "wants a string in quotes, not the number 50"},
	{"site's tls", "[[site]]\nprovider = 'gmail'\ntls = 'always'\n", 3, "site[0].tls", `use "opportunistic" or "none"`},
	{"site's source", "[[site]]\nprovider = 'gmail'\nsource = 'news-1'\n", 3, "site[0].source", `"news-1" is the name of no [[source]]`},
	{"site's quiet hours", "[[site]]\nprovider = 'gmail'\nquiet = ['25:00-06:00']\n", 3, "site[0].quiet", `write it like "22:00-06:00"`},
	{"two sites of one name", "[[site]]\nname = 'a'\nmx = ['a']\nrate = '1/s'\n[[site]]\nmx = ['b']\nrate = '1/s'\nname = 'a'\n", 8, "site[1].name", "is the name of a rule above"},
	{"site's key of [pool]", "[[site]]\nprovider = 'gmail'\nconnections_per_site = 5\n", 3, "site[0].connections_per_site", "is not a known key"},
	{"one table for sites", "[site]\nprovider = 'gmail'\n", 1, "site", "each under its own [[name]]"},
	{"reply without a condition", "[[reply]]\nwindow = 1\n", 1, "reply[0]", "give match, code or class"},
	{"reply without a demand", "[[reply]]\ncode = '421'\n", 1, "reply[0]", "demands nothing"},
	{"reply's pattern", "[[reply]]\nwindow = 1\nmatch = '('\n", 3, "reply[0].match", "missing closing )"},
	{"reply's code", "[[reply]]\nwindow = 1\ncode = '250'\n", 3, "reply[0].code", "is the code of no refusal"},
	{"reply's class", "[[reply]]\nwindow = 1\nclass = 'spam'\n", 3, "reply[0].class", "is no class of replies; use one of other,"},
	{"reply's scope", "[[reply]]\nwindow = 1\ncode = '421'\nscope = 'ip'\n", 4, "reply[0].scope", `use "source", "site" or "sender"`},
	{"reply's site", "[[reply]]\nwindow = 1\ncode = '421'\nsite = 'x'\n", 4, "reply[0].site", "is the name of no [[site]]"},
	{"reply's share", "[[reply]]\nrate = '100%'\ncode = '421'\n", 2, "reply[0].rate", `a share goes from "1%" to "99%"`},
	{"reply's window", "[[reply]]\nwindow = 0\nrate = '50%'\ncode = '421'\n", 2, "reply[0].window", "leave the key out"},
	{"source without a name", "[[source]]\naddress = '192.0.2.1'\n", 1, "source[0].name", "use at most 64 letters"},
	{"source without an address", "[[source]]\nname = 'a'\n", 1, "source[0].address", "give address, address6 or both"},
	{"source's address of the other family", "[[source]]\nname = 'a'\naddress = '2001:db8::1'\n", 3, "source[0].address", "write it as address6"},
	{"source's name as its address", "[[source]]\nname = 'a'\naddress = 'mail.example.org'\n", 3, "source[0].address", "does not fit"},
	{"two sources of one name", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\n[[source]]\naddress = '192.0.2.2'\nname = 'a'\n", 6, "source[1].name", "is the name of source[0] too"},
	{"address given twice", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\n[[source]]\nname = 'b'\naddress = '192.0.2.1'\n", 6, "source[1].address", `source "a" too`},
	{"source's weight", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nweight = 0\n", 4, "source[0].weight", "reserved = true"},
	{"source's helo_name", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nhelo_name = 'mail'\n", 4, "source[0].helo_name", "is not fully qualified"},
	{"source's literal", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nhelo_name = '[192.0.2]'\n", 4, "source[0].helo_name", "is no address literal"},
	{"plan that falls", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = [{ start = '2026-12-01', plan = [50, 100,\n80] }]\n", 5, "source[0].warmup[0].plan[2]", "a plan does not fall"},
	{"plan without a start", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = [{ plan = [50] }]\n", 4, "source[0].warmup[0].start", "is missing"},
	{"plan's start as a date of TOML", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = [{ start = 2026-12-01, plan = [50] }]\n", 4, "source[0].warmup[0].start", "wants a string in quotes"},
	{"plan's start that is no date", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = [{ start = '2026-12-32', plan = [50] }]\n", 4, "source[0].warmup[0].start", `want a date like "2026-12-01"`},
	{"one table for plans", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = { start = '2026-12-01', plan = [50] }\n", 4, "source[0].warmup", "not a table"},
	{"two plans for one provider", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = [{ start = '2026-12-01', plan = [50], providers = ['gmail'] },\n{ start = '2026-12-01', plan = [50], providers = ['gmail'] }]\n", 5, "source[0].warmup[1].providers", "has a plan in warmup[0]"},
	{"plan for a provider that there is not", "[[source]]\nname = 'a'\naddress = '192.0.2.1'\nwarmup = [{ start = '2026-12-01', plan = [50], providers = ['gmial'] }]\n", 4, "source[0].warmup[0].providers[0]", "is not in the table of providers"},
	{"macro of the recipients", "[[bulk.rule]]\nmacro = '{rcpt_host}=x'\n", 2, "bulk.rule[0].macro", "before the first recipient"},
	{"domain routed twice", "[route]\n'a.example' = '[127.0.0.1]:25'\n'A.example' = '[127.0.0.1]:26'\n", 1, "route", "given twice"},
	{"visits before a hand-back to no MTA", "[bounce]\ninject = 'direct'\n[handback]\nvisits = 3\n", 4, "handback.visits", "leave this key out"},
	{"a time before a hand-back to no MTA", "[bounce]\ninject = 'direct'\n[handback]\nafter = '1h'\n", 4, "handback.after", "leave this key out"},
	{"inject", "[bounce]\ninject = 'localhost'\n", 2, "bounce.inject", "is not a next hop"},
	{"author in angle brackets", "[bounce]\nfrom = '<x@example.org>'\n", 2, "bounce.from", `write "x@example.org"`},
	{"delay", "[bounce]\ndelay = '2h'\n", 2, "bounce.delay", "longer than an hour"},
	{"name server", "[dns]\nservers = ['ns.example']\n", 2, "dns.servers", `write "ip" or "ip:port"`},
	{"connections", "[pool]\nconnections_per_site = 0\n", 2, "pool.connections_per_site", "less than 1"},
	{"tls", "[pool]\ntls = 'always'\n", 2, "pool.tls", `use "opportunistic" or "none"`},
	{"helo name", "[smtp]\nhelo_name = 'out'\n", 2, "smtp.helo_name", "is not fully qualified"},
	{"helo name with a blank", "[smtp]\nhelo_name = '[192.0.2.1] x'\n", 2, "smtp.helo_name", "cannot be sent in EHLO"},
	{"source address", "[smtp]\nbind_address = 'out.example.org'\n", 2, "smtp.bind_address", "does not fit"},
	{"source address of the other family", "[smtp]\nbind_address = '2001:db8::1'\n", 2, "smtp.bind_address", "write it as bind_address6"},
	{"source address of no host", "[smtp]\nbind_address6 = '::'\n", 2, "smtp.bind_address6", "leave the key out"},
	{"two source addresses", "[smtp]\nbind_address = ['192.0.2.1', '192.0.2.2']\n", 2, "smtp.bind_address", "wants a string in quotes, not a list"},
	{"timeout of 0", "[smtp]\nbanner_timeout = '0s'\n", 2, "smtp.banner_timeout", "is not a positive duration"},
	{"timeout without a unit", "[smtp]\nconnect_timeout = 30\n", 2, "smtp.connect_timeout", `write "30s" for seconds`},
	{"timeout with Postfix's prefix", "[smtp]\nsmtp_rcpt_timeout = '5m'\n", 2, "smtp.smtp_rcpt_timeout", "is not a known key"},
	{"rate of 0", "[smtp]\nmin_rate = 0\n", 2, "smtp.min_rate", "less than 1"},
	{"tls in the wrong table", "[smtp]\ntls = 'none'\n", 2, "smtp.tls", "did you mean pool.tls?"},
	{"commit interval", "[journal]\ncommit_interval = '1h'\n", 2, "journal.commit_interval", "is not between"},
	{"snapshot interval", "[snapshot]\ninterval = '1ms'\n", 2, "snapshot.interval", "is less than 1s"},
	{"socket", "[control]\nsocket = 'control.sock'\n", 2, "control.socket", "is not a path from the root"},
	{"level", "[log]\nlevel = 'loud'\n", 2, "log.level", `use "trace", "debug", "info", "warn", "error" or "off"`},
	{"mail log", "[log]\nmail = 'mail.log'\n", 2, "log.mail", "nor a file's path"},
	{"log name", "[log]\nname = 'mill race'\n", 2, "log.name", "is no syslog tag"},
	{"hostname empty", "hostname = ''\n", 1, "hostname", "is not given"},
	{"hostname not full", "hostname = 'mail'\n", 1, "hostname", "is not fully qualified"},
	{"hostname with a blank", "hostname = 'mail .example.org'\n", 1, "hostname", `"mail " cannot be a part of one`},
	{"hostname with an underscore", "hostname = 'my_host.example.org'\n", 1, "hostname", "is not a host name"},
	{"hostname with a last dot", "hostname = 'mail.example.org.'\n", 1, "hostname", "is not a host name"},
	{"hostname is an address", "hostname = '192.0.2.1'\n", 1, "hostname", "is an address"},
	{"hostname too long", "hostname = '" + strings.Repeat("a.", 130) + "org'\n", 1, "hostname", "at most 253"},
}

func TestBadConfigs(t *testing.T) {
	if len(badConfigs) < 100 {
		t.Errorf("only %d cases", len(badConfigs))
	}
	for _, bad := range badConfigs {
		t.Run(bad.name, func(t *testing.T) {
			text := bad.text
			if !strings.Contains(bad.text, "hostname =") && bad.key != "" {
				text = "hostname = 'mail.example.org'\n" + text
				bad.line++
			}
			_, err := loadText(text)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v", err)
			}
			if len(errs) != 1 {
				t.Fatalf("%d errors:\n%v", len(errs), err)
			}
			checkBad(t, bad, errs[0])
		})
	}
}

func checkBad(t *testing.T, bad badConfig, e *Error) {
	if e.File != "c.toml" || e.Line != bad.line || e.Key != bad.key || !strings.Contains(e.Text, bad.want) {
		t.Errorf("got  %s:%d %s: %s\nwant c.toml:%d %s: ...%s...", e.File, e.Line, e.Key, e.Text, bad.line, bad.key, bad.want)
	}
}
