package filter

import "net"

// Handed is an open connection of a client that a door gives away, so that the same door in another process goes on with it. The client
// notices nothing but a pause.
type Handed struct {
	Conn  net.Conn
	State []byte // what the client has said, in a form of the door's own; nil: nothing yet
}
