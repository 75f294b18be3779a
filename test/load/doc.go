// Package load sends a campaign over real SMTP connections and remembers what it sent, so that the other end's ledger
// can be held against it: Run sends, Compare tells what was lost, doubled, altered, invented or misdirected.
//
// Every message is a function of Config.Seed and its number. It begins with an X-Ledger field that holds its id; since
// no hop puts that field on top, what a receiver finds below the trace fields is what was sent (see sink.Core).
package load
