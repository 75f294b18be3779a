package milter

import lib "github.com/emersion/go-milter"

// reply is an answer of ours. Replies are immutable.
type reply struct{ frame []byte }

func newReply(code lib.ActionCode, text string) *reply {
	return &reply{appendFrame(nil, byte(code), []byte(text))}
}

var (
	replyContinue = newReply(lib.ActContinue, "")
	replyAccept   = newReply(lib.ActAccept, "")
	replyDiscard  = newReply(lib.ActDiscard, "")
	// replyTempfail has the MTA refuse a message for now (RFC 3463: 4.3.2 is "system not accepting network messages").
	replyTempfail = newReply(lib.ActReplyCode, "451 4.3.2 bulk queue full, try again later\x00")
)

// appendChange appends a change of the message, whose parameters are C strings. The MTA allows it at the end of the message only.
func appendChange(dst []byte, code lib.ModifyActCode, params ...string) []byte {
	var payload []byte
	for _, p := range params {
		payload = append(append(payload, p...), 0)
	}
	return appendFrame(dst, byte(code), payload)
}
