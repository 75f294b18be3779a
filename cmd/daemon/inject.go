package daemon

import (
	"context"
	"time"
)

const (
	// injectPatience bounds one try of bounce.inject. A listener that needs longer to greet holds up mail as well.
	injectPatience = 30 * time.Second
	// injectAgain is when a listener that refused is tried again. At boot the MTA may start after Millrace.
	injectAgain = time.Minute
)

// watchInject tries bounce.inject once, and until it answers if it refuses. Bounces and handed-back mail wait as long. The
// log would show that on the day of the first bounce, which may be weeks after the mistake. Of "direct" there is nothing to try.
func (d *Daemon) watchInject(ctx context.Context, again time.Duration) {
	told := false
	for {
		err := d.tryInject(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			if told {
				d.log.Info("bounce.inject answers now", "inject", d.Config().Bounce.Inject)
			}
			return
		case !told:
			d.log.Warn("bounce.inject refuses: bounces and handed-back mail wait until it answers; it must be a listener of the MTA, "+
				"see contrib/postfix or contrib/sendmail", "error", err)
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
	ctx, cancel := context.WithTimeout(ctx, injectPatience)
	defer cancel()
	cfg := d.Config()
	mta, err := cfg.Bounce.Try(ctx, d.machine.wire(cfg))
	if mta != "" {
		d.pool.NoteMTA(mta)
	}
	return err
}
