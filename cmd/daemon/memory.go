package daemon

import (
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-hclog"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// resolveMemory sets queue.max_bytes of cfg to a number if the file has none.
func (m Machine) resolveMemory(cfg *config.Config, log hclog.Logger) (relay.QueueConfig, error) {
	queue := cfg.Queue
	memory, err := m.Memory()
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
	return queue, nil
}

// LimitProcess makes the Go runtime keep the process within queue.max_bytes, and a tenth of that or 64 MiB for the collector,
// the stacks and the program. It is for the only daemon of its process, before Start.
func (d *Daemon) LimitProcess() {
	d.alone = true
	d.keepToMemory()
}

// keepToMemory tells the Go runtime the limit, unless the operator has done so by GOMEMLIMIT.
func (d *Daemon) keepToMemory() {
	if limit := d.budget.Limit(); d.alone && os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(limit + max(limit/10, 64<<20))
	}
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
