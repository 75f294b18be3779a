// Command sim runs the whole daemon in virtual time: the real daemon.New, Start, Reload and Stop, on a network, a disk and a DNS
// that are in memory, in a bubble of testing/synctest. An hour passes in about a second, because the bubble's clock jumps to the
// next timer whenever every goroutine waits.
//
//	go run ./test/sim -scenario test/sim/scenarios/five.txt -trace
//	go run ./test/sim -all -json
//
// A scenario is a text file (see Scenario): receivers with moods, sources, what happens when, and what must hold. In every run
// this must hold besides:
//
//   - nothing that was taken is lost, and everything arrives once but for those whom the mail log names (Ledger);
//   - whatever waits has a reason and a time, and the memory ledger is under its limit (audit.go);
//   - when the daemon has stopped no goroutine is left (the bubble).
//
// What must hold stands in the scenario: "expect" for what holds, "goal" for what is promised and may still be missed, which the
// table and the JSON tell. A goal is best measured against what the receiver could have taken (capacity.go), or against the same
// run without the trouble ("baseline"). A scenario whose name ends in -large has the numbers that were promised, and takes minutes;
// a small one beside it runs with the tests.
//
// The parts: package wire is the network, package disk the disk with its crashes; test/dns answers for the name servers, and
// test/standin is the MTA. daemon.Machine is the only door through which they come into the daemon.
//
// # What the simulation does not show
//
// Work takes no time here: a daemon that needs a second of CPU needs none of the bubble's. The wall time in the results is the
// only trace of it. Sockets are connections in memory, so what the daemon does to a socket itself (source ports, TCP options, a
// look whether an idle connection was closed) does not happen. A clock that is set back or forward cannot be shown: the bubble has
// one clock, for the daemon and for the world, and every part of the daemon asks package time for it. TLS is not offered.
//
// # What a seed decides
//
// All that the world leaves to chance, as what a power cut leaves of the disk, and all that the daemon leaves to chance
// (daemon.Machine.Chance: how far waits are spread, which of equally good hosts comes first). What it does not decide: in which
// order goroutines run that the same moment wakes, which ready case a select takes, the order of a map, and the ids of DNS
// questions and messages. So two runs with one seed differ in details where two things happen at once, and then in all that
// follows from it. One processor and no preemption (GOMAXPROCS=1 GODEBUG=asyncpreemptoff=1) leave only the last three.
package main
