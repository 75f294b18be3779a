package milter

import "sync/atomic"

// phase is how far Stop has come. The door sets it, its connections read it; nothing is ever unset.
type phase struct {
	stop     chan struct{} // closed with stopping: replies that wait for room wait no more
	stopping atomic.Bool   // new messages are left with the MTA
	evicting atomic.Bool   // idle connections are closed
	handing  atomic.Bool   // connections are handed over to another process
	cutting  atomic.Bool   // all connections are closed, but those whose MTA is about to hear "taken"
}
