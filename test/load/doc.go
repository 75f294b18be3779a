// Package load sends a campaign over real SMTP connections and records every message. Run sends; Compare compares the
// records with the deliveries at the receivers, and says which messages were lost, duplicated, altered, misdelivered,
// or never sent.
//
// Every message is a function of Config.Seed and its number. It begins with an X-Ledger field, which holds its id. No
// hop adds such a field, so the message below the trace fields is the message that was sent (see sink.Core).
package load
