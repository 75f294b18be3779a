// Package standin is the MTA's side of the milter protocol. It offers messages to a filter as Postfix or Sendmail does,
// and returns the filter's verdicts. Tests, load tools and the demonstration use it in place of an MTA.
//
// It shares no code with the filter's side, down to the frames, so that the same mistake is not made on both sides.
// AppendFrame and ReadFrame are for input that no MTA sends.
package standin
