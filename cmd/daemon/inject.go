package daemon

import (
	"context"
	"time"
)

const (
	// injectPatience bounds one try. A listener that needs longer to greet holds up mail as well.
	injectPatience = 30 * time.Second
	// injectAgain is when a listener that refused is tried again. At boot the MTA may start after Millrace.
	injectAgain = time.Minute
)

// watchInject tries bounce.inject once, and until it answers if it refuses. Bounces and handed-back mail wait as long. The
// log would show that on the day of the first bounce, which may be weeks after the mistake. Of "direct" there is nothing to try.
func (d *Daemon) watchInject(ctx context.Context, again time.Duration) {
	d.watch(ctx, again, d.tryInject, "bounce.inject", "bounces and handed-back mail wait until it answers; it must be a listener of the MTA, see contrib/postfix or contrib/sendmail")
}

// watchReinject does the same for smtpd.reinject. The clients of the SMTP door keep the mail that is not bulk as long.
func (d *Daemon) watchReinject(ctx context.Context, again time.Duration) {
	d.watch(ctx, again, d.smtpd.door.TryMTA, "smtpd.reinject", "mail that is not taken waits with its client until it answers; it must be a listener of the MTA, see contrib/postfix/DOORS.md")
}

// watch tries until there is an answer, and logs a refusal and its end.
func (d *Daemon) watch(ctx context.Context, again time.Duration, try func(context.Context) error, key, waits string) {
	told := false
	for {
		soon, cancel := context.WithTimeout(ctx, injectPatience)
		err := try(soon)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if told {
				d.log.Info(key + " answers now")
			}
			return
		case !told:
			d.log.Warn(key+" refuses: "+waits, "error", err)
			told = true
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(again):
		}
	}
}

func (d *Daemon) tryInject(ctx context.Context) error {
	cfg := d.Config()
	mta, err := cfg.Bounce.Try(ctx, d.machine.wire(cfg))
	if mta != "" {
		d.pool.NoteMTA(mta)
	}
	return err
}
