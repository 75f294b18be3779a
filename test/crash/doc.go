// Command crash tries to catch Millrace breaking its promises: a message that Millrace has answered for is not lost; it
// arrives unchanged and only at its recipients; it arrives twice only where the mail log says that it may.
//
// The command runs the real daemon as a process of its own. It plays the MTA that offers mail to the daemon and the
// receivers that get mail from it. A ledger, which no crash of the daemon or its disk can reach, records what was
// offered and what was answered for. Each mode destroys something in another way, lets the daemon recover, and balances
// the books: it compares the deliveries with the ledger.
//
//	kill      SIGKILL at random moments under load, also during recovery and at the first work after it
//	stop      SIGTERM, SIGHUP and a second SIGTERM under load: nothing may be lost or delivered twice
//	power     the file system is cut off from its disk, so that everything not yet synced is lost
//	corrupt   before a start a bit is flipped, a file cut short, a block zeroed, or a file deleted
//	every     each system call of the journal in turn is the last one before a kill, and before a power cut
//	ioerr     each n-th system call of the journal fails
//	selftest  twelve faults are built into the daemon; the modes must catch every one of them
//	model     the crash states of a file system in memory, which package snapshot's own tests enumerate
//
// With -json every mode prints one JSON object, else one line of a table. The exit status is 1 when a promise was
// broken, and 2 when the command could not find out.
//
// Why the daemon's system calls are stopped by seccomp's user notification and not by a tracer: a tracer counts the
// calls of each thread, but a goroutine has no thread of its own, so a tracer could not stop at "the 57th fdatasync".
package main
