// Package setup looks at the MTA of this host and says what Millrace would do to its mail: the seed of setup, undo and
// doctor.
//
// An MTA that decides something about a message tells a milter only a part of it. A milter is told the next hop of each
// recipient, and filter leaves a recipient with the MTA if that is not the recipient's own domain. A milter is not told of
// an alias, of a bcc, of a content filter, of a quarantine, of what another milter did to the envelope. Mail that Millrace
// takes misses all of these in silence. So this package reads the MTA's own configuration and names them.
//
// Read asks postconf, or reads sendmail.cf, and returns an MTA: text that was taken apart, and no opinion. Examine holds
// the MTA against Millrace's configuration and returns Findings. Examine is a pure function but for the lookup tables, which
// MTA.ReadFile reads; tests give it texts. Each trouble is registered once, in the list of checks, with its code, severity,
// text and repair. A code is for scripts and never changes its meaning.
//
// # What is not looked at
//
// The macros that main.cf sends to milters (milter_rcpt_macros and its like) do not matter: Millrace asks for the macros
// that it needs, and an MTA that cannot be asked is one from which nothing is taken anyway (check milter-protocol).
package setup
