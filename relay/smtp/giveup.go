package smtp

import "errors"

// stage is how far the message that a connection carries has got, for GiveUp. Only these changes happen:
//
//	envelope → committed, gone
//	committed → envelope, leaving
//	leaving → gone
type stage = uint32

const (
	envelope  stage = iota // the peer has no whole message from us without a reply
	committed              // the end of a body is being written, or its reply is awaited
	leaving                // likewise; and the connection must end behind that reply
	gone                   // given up
)

// errGivenUp is why a message was not sent over a connection that was given up.
var errGivenUp = errors.New("connection was given up")

// GiveUp ends the connection unless the peer may have a whole message from it; then it ends behind the reply to that message.
// Whatever the peer has no whole body of is Again and uncharged. Another goroutine may call it during a Deliver.
func (c *Conn) GiveUp() {
	for {
		switch c.stage.Load() {
		case envelope:
			if c.stage.CompareAndSwap(envelope, gone) {
				c.Close()
				return
			}
		case committed:
			if c.stage.CompareAndSwap(committed, leaving) {
				return
			}
		default:
			return
		}
	}
}

// commit notes that the end of a body goes out now. It reports false when the connection was given up before.
func (c *Conn) commit() bool { return c.stage.CompareAndSwap(envelope, committed) }

// answered notes that the peer has spoken about the body. It reports false when the connection must end here.
func (c *Conn) answered() bool {
	return c.stage.CompareAndSwap(committed, envelope) || !c.stage.CompareAndSwap(leaving, gone)
}

// givenUp is err, or why nothing is to blame for it.
func (c *Conn) givenUp(err *Error) *Error {
	if c.stage.Load() != gone {
		return err
	}
	return held(errGivenUp)
}
