package daemon

import (
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// resolveMemory sets queue.max_bytes of cfg to a number if the file has none.
func resolveMemory(cfg *config.Config, log hclog.Logger) (relay.QueueConfig, error) {
	queue := cfg.Queue
	memory, err := config.ReadMemory(os.DirFS("/"))
	if err != nil {
		if queue.MaxBytes == 0 {
			queue.MaxBytes = 1 << 30
		}
		log.Warn("queue.max_bytes is not compared with the memory of this machine", "max_bytes", queue.MaxBytes, "error", err)
		return queue, nil
	}
	if queue.MaxBytes, err = cfg.MemoryFor(memory); err != nil {
		return queue, err
	}
	log.Info("memory", "max_bytes", queue.MaxBytes, "of", memory.Bytes, "control_group", memory.Group)
	return queue, nil
}

// MemoryLimit is the memory that the Go runtime should keep the process within, in bytes: queue.max_bytes and a tenth of it,
// at least 64 MiB, for the collector, the stacks and the program. A process that has more than one daemon has no such limit,
// so whoever made the process sets it.
func (d *Daemon) MemoryLimit() int64 {
	limit := d.budget.Limit()
	return limit + max(limit/10, 64<<20)
}

// memory is the Budget as the console shows it.
func (o overview) memory() console.Memory {
	b := o.d.budget
	m := console.Memory{Limit: b.Limit()}
	for a, n := range map[relay.Account]*int64{
		relay.AccountDoors: &m.Doors, relay.AccountMail: &m.Mail, relay.AccountNotices: &m.Notices, relay.AccountSites: &m.Sites,
	} {
		*n = b.Used(a)
		m.Used += *n
	}
	return m
}
