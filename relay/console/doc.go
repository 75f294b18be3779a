// Package console is the window into a running daemon: a control socket that shows the waiting messages, the reasons why
// they wait and the counters, takes an admin's orders about that mail, and the client that asks and orders.
//
// The socket is a unix socket of mode 0660. Every user who may open it may read everything here and may give every order: the
// group of the socket is the group of the mail's admins. The kernel says who gave an order; the log and the lists name the user.
// The socket speaks HTTP with JSON bodies, so that curl --unix-socket works as well as the client:
//
//	GET /v1/status              one Status
//	GET /v1/queues              one relay.QueueStatus a line, of all in no order; ?most= so many, the longest first
//	GET /v1/messages            one relay.Listing a line, in the order in which they were taken; ?domain= and ?sender= narrow it,
//	                            ?most= so many, ?after= those behind the one with this id of ours, which may be gone
//	GET /v1/messages/{id}       one relay.Listing a line, of each message with this id of ours or of the MTA; 404 if none
//	GET /v1/sites               one Site a line, those with the most waiting nodes first; ?most= so many, 0 for all in no order
//	GET /v1/sites/{name}        one Site a line, of that site, host, provider or domain; 404 if none
//	GET /v1/trace               one TraceReport: what became of messages; ?recipient=, ?id= or ?message_id=, and ?most= so many, the latest first
//	GET /v1/campaigns           one Campaign a line, those used last first; ?tenant= narrows it, ?most= so many
//	GET /v1/campaigns/{name}    one Campaign a line, of each with that name; ?tenant= narrows it; 404 if none
//	GET /v1/statistics          one Statistic a line, the oldest first; ?span=minutes or hours, ?last= so many, ?site=, ?campaign= and ?tenant=
//	                            say whose, else they are of all; 422 if there are none of such a site, campaign or tenant
//	POST /v1/reload             one Reloaded; 422 if the file has mistakes, 503 while the daemon starts or stops
//	POST /v1/upgrade            202: the daemon hands over to the program on disk; 409 if that is not fit, 503 while it starts or stops
//	POST /v1/acts               takes one relay.Act, answers one relay.ActReport; 400 with the repair if the act cannot be meant,
//	                            409 if too many are in force, 503 while the daemon starts or cannot record what it does
//	GET /v1/pauses              one relay.Pause a line
//	GET /v1/wrappers            one relay.Sharing a line, the flows with the most bytes of mail first; ?most= so many
//	GET /v1/shape               one relay.ShapeRow a line, those with the most recipients first; ?by=site, domain or sender, ?most= so many
//	GET /v1/drain               one relay.ActReport: how far the drain in force is; 204 if there is none, 503 while the daemon starts
//	GET /v1/events              server-sent events, one record of the event stream each (contrib/events.md); ?since= or Last-Event-ID resumes
//	                            behind a position, ?follow=false ends at the newest, ?kind= and others select; 400 if they cannot be meant
//
// Lists are newline-delimited JSON, written while they are walked: a million messages cost the daemon one buffer. Scripts
// read the fields. A field is added when it is needed; a field whose word was wrong is renamed only with an entry under
// "Incompatible changes" in contrib/CHANGELOG.md.
//
// # Why a socket of its own
//
// A signal has no answer. A status file shows the past, and an operator who asks why a message waits needs the present. A
// TCP port would need a password; for a unix socket the permissions of the file are enough.
//
// # Who runs what
//
// The HTTP server runs each handler on a goroutine of its own, at most maxRequests at a time. Stop joins them. A handler
// holds no lock of the daemon while it writes: a reader that stalls costs a slot for writeTimeout, and no mail. An act is read
// whole before it begins and goes on if its client leaves; Stop ends it when the time of the stop is over.
package console
