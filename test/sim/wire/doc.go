// Package wire is a network in memory, for a bubble of testing/synctest. Hosts have addresses, listen and connect; what is
// written arrives after the latency of the two hosts, by the bubble's clock; deadlines obey that clock too. Links can be cut
// and healed, connections reset, and a host can crash: its connections are reset and it never listens again.
//
// Connections are buffered, as those of an operating system are: with the unbuffered ones of net.Pipe a writer waits until its
// peer reads, and two programs that write at the same time wait for ever. All waiting is done on a sync.Cond, which counts as
// durably blocked, and no call waits while it holds a lock.
//
// What is not modelled: bandwidth, loss of single packets (TCP repairs it, and a link that is cut for a while shows the rest),
// and a half-closed connection.
package wire
