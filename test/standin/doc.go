// Package standin is the MTA's side of the milter protocol: it offers messages to a filter as Postfix or Sendmail does
// and tells what the filter made of them. Tests, load tools and the demonstration use it; it needs no MTA.
//
// It speaks from the wire up and shares no code with the filter's side, so that an error of one is not repeated by the
// other. For input that no MTA sends there are AppendFrame and ReadFrame.
package standin
