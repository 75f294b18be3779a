// Package preflight finds what receivers of bulk mail refuse or distrust: in the header of a message (Examine), and in the addresses that
// it is sent from (ExamineMachine). It compares text with rules: it sees no network, no clock and no file.
//
// The rules are those that the large providers have published since 2024: From is aligned with a DKIM signature (RFC 7489 section 3.1.1,
// relaxed: the same organisational domain by the public suffix list), the signature covers the fields for unsubscribing (RFC 8058
// section 4), one click unsubscribes (RFC 8058), the header is well-formed (RFC 5322 section 3.6), the address resolves to the name in
// EHLO and back. A signature is not verified, because that needs its key: only what it says about itself is judged.
//
// Each fault has a code that does not change, for configurations and counters; repairs lists them all.
package preflight
