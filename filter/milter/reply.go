package milter

import lib "github.com/emersion/go-milter"

// reply is a lib.Response after which the library keeps its backend, our session. After any other verdict, even one on
// a single recipient, the library would replace the session, and with it all we know of the connection. With a verdict
// only the message ends, and we end it ourselves.
type reply struct{ message lib.Message }

// Response implements lib.Response.
func (r *reply) Response() *lib.Message { return &r.message }

// Continue implements lib.Response.
func (r *reply) Continue() bool { return true }

func newReply(code lib.ActionCode) *reply { return &reply{lib.Message{Code: byte(code)}} }

// Replies are immutable.
var (
	replyContinue = newReply(lib.ActContinue)
	replyAccept   = newReply(lib.ActAccept)
	replyDiscard  = newReply(lib.ActDiscard)
	// replyTempfail has the MTA refuse a message for now (RFC 3463: 4.3.2 is "system not accepting network messages").
	replyTempfail = &reply{lib.Message{Code: byte(lib.ActReplyCode), Data: []byte("451 4.3.2 bulk queue full, try again later\x00")}}
)
