// Package console is the window into a running daemon: a control socket that answers what is queued, why it waits and
// what has been done, and the client that asks.
//
// The socket is a unix socket of mode 0660; who may open it may read everything here, and nothing can be changed
// through it. It speaks HTTP with JSON bodies, so that curl --unix-socket works as well as the client:
//
//	GET /v1/status              one Status
//	GET /v1/queues              one relay.QueueStatus a line
//	GET /v1/messages            one relay.Listing a line; ?domain= and ?sender= narrow it
//	GET /v1/messages/{id}       one relay.Listing, or 404
//
// Lists are newline-delimited JSON, written while they are walked: a million messages cost the daemon one buffer. The
// fields are stable: they are added to, never renamed.
package console
