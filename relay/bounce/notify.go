package bounce

import "strings"

// Wish names the events that a sender wants to hear of (RFC 3461 section 4.1).
type Wish struct {
	Success, Failure, Delay bool
}

// Notify reads a NOTIFY parameter. Without one the sender hears of failures. A parameter that cannot be read is taken
// as absent: news that nobody asked for does less harm than mail lost in silence.
func Notify(param string) Wish {
	if strings.EqualFold(param, "NEVER") {
		return Wish{}
	}
	var w Wish
	for word := range strings.SplitSeq(param, ",") {
		switch strings.ToUpper(word) {
		case "SUCCESS":
			w.Success = true
		case "FAILURE":
			w.Failure = true
		case "DELAY":
			w.Delay = true
		default:
			return Wish{Failure: true}
		}
	}
	return w
}
