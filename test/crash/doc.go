// Command crash tries to catch Millrace lying about its promises: that nothing it has answered for is lost, that what it
// delivers is what it took, to whom it took it for, and that no more is delivered twice than it says.
//
// It runs the real daemon as a process of its own, offers it mail as an MTA does, and is the internet that gets the mail.
// What was answered for stands in a ledger that no crash of the daemon or its disk can touch. Each mode destroys something
// in another way, lets the daemon recover, and balances the books:
//
//	kill      SIGKILL at random moments under load, also during recovery and at the first work after it
//	stop      SIGTERM, SIGHUP and a second SIGTERM under load: nothing lost, nothing twice
//	power     the file system is cut off from its disk, and with it what was not synced
//	corrupt   a bit flipped, a file cut short, a block zeroed, a file deleted before a start
//	every     each system call of the journal in turn is the last one, by a kill and by a power cut
//	ioerr     each n-th system call of the journal fails
//	selftest  ten faults built into the daemon, each of which a mode must catch
//	model     the crash states of a file system in memory, which package snapshot's own tests enumerate
//
// Every mode prints one JSON object with -json, else a line of a table. The exit status is 1 when a promise was broken.
//
// Why the daemon's system calls are stopped by seccomp's user notification and not by a tracer: a tracer counts the calls
// of each thread for itself, and a goroutine has no thread of its own, so that "the 57th fdatasync" could not be said.
package main
