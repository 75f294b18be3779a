package smtp

// The values of [Error.Command]: where in the dialogue a failure happened.
const (
	AtConnect  = "connect"
	AtBanner   = "banner"
	AtEHLO     = "EHLO"
	AtHELO     = "HELO"
	AtSTARTTLS = "STARTTLS"
	AtRSET     = "RSET"
	AtMAIL     = "MAIL"
	AtRCPT     = "RCPT"
	AtDATA     = "DATA"
	AtBody     = "message body" // the connection was lost before the end of data was written
	AtDot      = "end of data"  // in reply to the body, or instead of that reply; to BDAT too
)
