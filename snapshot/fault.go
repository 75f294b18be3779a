package snapshot

import (
	"fmt"
	"runtime/debug"
)

// A fault of our own in the journal ends the process, on whichever goroutine it happens. What the ledger holds after a panic is
// not known: a message may have positions and no frame, a commit half a frame. To go on could acknowledge what recovery cannot
// read, or forget who has been sent to. The end of the process is what recovery is made for: it is a kill -9. Doors and agents
// survive panics of their own; they must not survive one of the journal. The writer and the keeper have no recover at all.

// endOnFault is deferred by the methods of Agent that change the journal.
func (a *Agent) endOnFault() {
	if fault := recover(); fault != nil {
		a.log.Error("internal error in the journal: the daemon ends, and the next start reads what is on the disk; please report it", "panic", fault, "stack", string(debug.Stack()))
		a.end(fault)
	}
}

// crash ends the process. Nobody can recover a panic on a goroutine of its own.
func crash(fault any) {
	go panic(fmt.Sprintf("journal: %v", fault)) // ends the process
	select {}
}
