package milter

import lib "github.com/emersion/go-milter"

// reply is a lib.Response that never ends the library's backend: the library would replace it, and with it all we
// know of the connection, after each verdict, even one on a single recipient. What ends with a verdict is the
// transaction, and we end it ourselves.
type reply struct{ message lib.Message }

// Response implements lib.Response.
func (r *reply) Response() *lib.Message { return &r.message }

// Continue implements lib.Response.
func (r *reply) Continue() bool { return true }

func newReply(code lib.ActionCode, text string) *reply {
	if text == "" {
		return &reply{lib.Message{Code: byte(code)}}
	}
	return &reply{lib.Message{Code: byte(code), Data: []byte(text + "\x00")}}
}

// Replies are immutable.
var (
	replyContinue = newReply(lib.ActContinue, "")
	replyAccept   = newReply(lib.ActAccept, "")
	replyDiscard  = newReply(lib.ActDiscard, "")
	// replyStopping makes the MTA hang up on its client, which then comes back. Postfix wants the text in exactly this
	// form: code, one space, text.
	replyStopping = newReply(lib.ActReplyCode, "421 4.3.2 Service shutting down, try again")
)
