package daemon

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
	"github.com/millrace/millrace/relay/pool"
	"github.com/millrace/millrace/relay/route"
)

// errNotReady is what a reload answers while parts are being started or stopped.
var errNotReady = errors.New("the daemon is starting or stopping")

// errNoFile is what a reload answers when the configuration came from no file, as in the demonstration.
var errNoFile = errors.New("the daemon was started without a configuration file")

// setReady says whether the parts are there to be reloaded. It waits for a reload under way.
func (d *Daemon) setReady(ready bool) {
	d.turn.Lock()
	defer d.turn.Unlock()
	d.ready = ready
}

// Reload takes over the keys of next that are live. It logs the keys that need a restart and keeps their old values. What can
// fail comes first: after an error nothing has changed.
func (d *Daemon) Reload(next *config.Config) error {
	d.turn.Lock()
	defer d.turn.Unlock()
	_, _, err := d.takeOver(next)
	return err
}

// reloadFile reads the file again that the daemon was started with, and reloads. The answer has every mistake of the file, or
// every key that has changed. An error says why there was no reload.
func (d *Daemon) reloadFile() (console.Reloaded, error) {
	d.turn.Lock()
	defer d.turn.Unlock()
	file := d.Config().File
	switch {
	case !d.ready:
		return console.Reloaded{}, errNotReady
	case file == "":
		return console.Reloaded{}, errNoFile
	}
	answer := console.Reloaded{File: file}
	next, warnings, err := config.Review(file)
	var changes []config.Change
	overdue := ""
	if err == nil {
		changes, overdue, err = d.takeOver(next)
	}
	answer.Applied = err == nil
	answer.Errors, answer.Warnings = mistakes(err), mistakes(warnings)
	if overdue != "" {
		answer.Warnings = append(answer.Warnings, console.Mistake{File: file, Key: "retry.lifetime", Text: overdue})
	}
	for _, c := range changes {
		change := console.Change{Key: c.Key, Old: c.Old, New: c.New, Why: c.Restart}
		if c.Restart == "" {
			answer.Changed = append(answer.Changed, change)
		} else {
			answer.Restart = append(answer.Restart, change)
		}
	}
	d.log.Info("reload by way of the control socket", "applied", answer.Applied, "changed", len(answer.Changed), "restart", len(answer.Restart), "errors", len(answer.Errors))
	return answer, nil
}

// mistakes is an error of the configuration, each mistake with its place.
func mistakes(err error) (list []console.Mistake) {
	var all config.Errors
	if !errors.As(err, &all) && err != nil {
		all = config.Errors{{Text: err.Error()}}
	}
	for _, e := range all {
		list = append(list, console.Mistake{File: e.File, Line: e.Line, Column: e.Column, Key: e.Key, Text: e.Text})
	}
	return list
}

// takeOver is Reload for a caller that holds turn. What can fail comes first: the rules, the tenants, the routes, the memory, and the file of
// the mail log. overdue is what an admin must know of the new retry.lifetime, or "".
func (d *Daemon) takeOver(next *config.Config) (changes []config.Change, overdue string, err error) {
	before := d.Config()
	cfg, changes := before.TakeOver(next)
	f, err := filter.Compile(cfg.Bulk, cfg.Hostname, d.agent.Secret())
	if err != nil {
		return nil, "", err
	}
	tenants, err := filter.CompileTenants(cfg.Tenant)
	if err != nil {
		return nil, "", err
	}
	table, err := routes(cfg)
	if err != nil {
		return nil, "", err
	}
	queue, err := d.machine.resolveMemory(cfg, d.log)
	if err != nil {
		return nil, "", err
	}
	policy, err := newPolicy(cfg)
	if err != nil {
		return nil, "", err
	}
	if err := d.machine.checkSources(cfg); err != nil {
		return nil, "", err
	}
	if cfg.Log.Mail != before.Log.Mail || cfg.Log.Name != before.Log.Name {
		to, err := d.mail.openDestination(cfg.Log.Mail)
		if err != nil {
			return nil, "", err
		}
		if err := d.mail.redirect(to, cfg.Log.Name); err != nil {
			d.log.Warn("the old mail log could not be closed", "error", err)
		}
	}
	d.logChanges(changes)
	if own, err := d.machine.Addrs(); err == nil { // without them there is nothing to warn of
		logWarnings(cfg, own, d.log)
	}
	d.reloadDoors(cfg, f, tenants)
	overdue = d.apply(cfg, queue, table, policy)
	d.mu.Lock()
	d.cfg = cfg
	d.mu.Unlock()
	d.noteReload()
	d.log.Info("reloaded", "mode", cfg.Mode)
	return changes, overdue, nil
}

// apply gives each part its table. Nothing here can fail. It returns what an admin must know of the new retry.lifetime, or "".
func (d *Daemon) apply(cfg *config.Config, queue relay.QueueConfig, table route.Table, policy pool.Policy) (warning string) {
	overdue, perMinute := d.handler.SetPolicy(cfg.Retry, cfg.Handback)
	if overdue > 0 {
		warning = fmt.Sprintf("%d messages that wait are older: each is returned after an attempt that fails, at most %d of them a minute; a longer lifetime keeps the rest", overdue, perMinute)
		d.log.Warn("retry.lifetime: " + warning)
	}
	if err := d.allowance.reload(cfg, time.Now()); err != nil {
		d.log.Error("the allowance stays as it was", "error", err) // Validate has judged it
	}
	d.bounces.SetConfig(cfg.Bounce)
	d.stops.SetConfig(cfg.Stop)
	d.preflight.SetConfig(cfg.Preflight)
	d.history.SetConfig(cfg.History)
	d.queues.SetConfig(queue)
	d.gate.SetConfig(cfg.Gate)
	d.tally.SetConfig(cfg.Statistics)
	d.queues.SetTenants(cfg.TenantLimits())
	d.keepToMemory()
	before := d.Config()
	if !sameRoutes(before, cfg) { // else every route would be looked up again for nothing
		if err := d.resolver.Reload(d.machine.resolverConfig(cfg), table); err != nil {
			d.log.Warn("name servers or own addresses stay as they were", "error", err)
		}
	}
	if err := d.sources.Reload(cfg.Source); err != nil {
		d.log.Error("sources stay as they were", "error", err) // takeOver has judged them
	}
	d.pool.SetSMTP(d.machine.wire(cfg))
	files := d.files(cfg)
	d.pool.Reload(cfg.Pool, policy, files.channels, files.slow, d.queues.Order)
	d.log.SetLevel(cfg.Log.LogLevel())
	return warning
}

// files shares out what the limit of open files allows.
func (d *Daemon) files(cfg *config.Config) shares {
	limit, err := d.machine.OpenFiles()
	if err != nil {
		return shares{channels: cfg.Queue.Channels}
	}
	files := shareOut(limit, cfg)
	if cfg.Queue.Channels != d.Config().Queue.Channels {
		files.tell(limit, cfg, d.log)
	}
	return files
}

// sameRoutes reports whether two configurations lead the same way by the same name servers.
func sameRoutes(a, b *config.Config) bool {
	return reflect.DeepEqual(a.DNS, b.DNS) && maps.Equal(a.Route, b.Route) && a.Bounce.Inject == b.Bounce.Inject && slices.Equal(ownNames(a), ownNames(b))
}

// logChanges names each key that has changed, and why those that need a restart do.
func (d *Daemon) logChanges(changes []config.Change) {
	for _, c := range changes {
		if c.Restart != "" {
			d.log.Warn("this key changes with a restart only", "key", c.Key, "value", c.New, "because", c.Restart)
		} else {
			d.log.Info("changed", "key", c.Key, "old", c.Old, "value", c.New)
		}
	}
}
