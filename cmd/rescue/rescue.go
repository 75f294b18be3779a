package rescue

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"net"
	"net/netip"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/cmd/setup"
	"github.com/millrace/millrace/filter"
	"github.com/millrace/millrace/filter/smtpd"
	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/console"
)

// Config says what a rescue is about.
type Config struct {
	Config   *config.Config // of the daemon
	Dir      string         // of main.cf; "": where Postfix has it
	Selector Selector
	Wait     time.Duration // how long the backlog is followed at most
	// Tell is told how the rescue goes, now and then. It may be nil.
	Tell func(Progress)
}

// Daemon is what a rescue asks of the daemon. A console.Client is one.
type Daemon interface {
	Status(context.Context) (console.Status, error)
	Messages(context.Context, console.Filter) iter.Seq2[relay.Listing, error]
}

// Rescue is the rescue of one Postfix.
type Rescue struct {
	cfg     Config
	daemon  Daemon
	mta     *setup.MTA
	postfix *postfix
	store   *store
	door    string // as smtpd.filter names it
	hop     string // as a transport table names it
	steps   steps
	since   console.Status // when the rescue began
}

// New reads the configuration of Postfix. It changes nothing.
func New(ctx context.Context, cfg Config, daemon Daemon) (*Rescue, error) {
	m, err := setup.Read(ctx, cfg.Dir)
	if err != nil {
		return nil, err
	}
	if m.Postfix == nil {
		return nil, fmt.Errorf("%s in %s: a rescue works with Postfix only", m.Name, m.Dir)
	}
	return &Rescue{cfg: cfg, daemon: daemon, mta: m, postfix: newPostfix(m), store: newStore(m.Dir), steps: defaultSteps}, nil
}

// refusal is why a rescue cannot begin now.
func refusal(format string, args ...any) error {
	return fmt.Errorf("nothing was changed: "+format, args...)
}

// Ready finds out whether the daemon would take mail, and its door.
func (r *Rescue) Ready(ctx context.Context) error {
	st, err := r.daemon.Status(ctx)
	if err != nil {
		return err
	}
	switch {
	case st.Journal.Recovering != nil:
		return refusal("the daemon reads its journal still: %w", console.ErrNotNow)
	case st.Mode != filter.Deliver:
		return refusal(`the daemon has mode = %q and takes nothing; set mode = "deliver"`, st.Mode)
	case st.Drain != nil:
		return refusal(`the daemon is drained and takes nothing; "millrace undrain" ends that`)
	case st.Journal.Blocked != "":
		return refusal("the daemon takes nothing now (%s): %w", st.Journal.Blocked, console.ErrNotNow)
	case st.Gate.State > relay.GateHold:
		return refusal("the daemon has no room (%s): %w", st.Gate.Reason, console.ErrNotNow)
	case len(r.cfg.Config.SMTPD.Filter) == 0:
		return refusal(`the daemon has no door for filters; give filter = ["inet:127.0.0.1:8896"] in the table [smtpd], and restart it`)
	}
	if !r.postfix.running(ctx) {
		return refusal("Postfix in %s does not run, or you may not ask it", r.mta.Dir)
	}
	r.since = st
	return r.tryDoor(ctx)
}

// tryDoor speaks to the door as the transport will.
func (r *Rescue) tryDoor(ctx context.Context) error {
	r.door = r.cfg.Config.SMTPD.Filter[0]
	network, addr, err := filter.ParseListen(r.door)
	if err != nil {
		return err
	}
	r.hop, addr = hopOf(network, addr)
	if network == "unix" && r.mta.Connect != nil {
		if err := r.mta.Connect(addr); err != nil {
			return refusal("Postfix cannot open the door: %w; see smtpd.socket_group", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	nc, err := (&net.Dialer{}).DialContext(ctx, network, addr)
	if err != nil {
		return refusal("the door does not answer: %w", err)
	}
	defer nc.Close()
	until, _ := ctx.Deadline()
	if err := nc.SetDeadline(until); err != nil {
		return err
	}
	text, err := greet(textproto.NewConn(nc))
	if err == nil && !slices.Contains(strings.Split(text, "\n"), smtpd.RescueKeyword) {
		err = errors.New("it does not know a rescue")
	}
	if err != nil {
		return refusal("the door %s: %w", r.door, err)
	}
	return nil
}

// greet says LHLO, and returns the lines of the answer.
func greet(c *textproto.Conn) (string, error) {
	if _, _, err := c.ReadResponse(220); err != nil {
		return "", err
	}
	if err := c.PrintfLine("LHLO %s", smtpd.RescueName); err != nil {
		return "", err
	}
	_, text, err := c.ReadResponse(250)
	return text, err
}

// hopOf is a listen address as Postfix names it, and as a dialer does. A listener on all addresses is reached at the loopback address.
func hopOf(network, addr string) (hop, dial string) {
	if network == "unix" {
		return "unix:" + addr, addr
	}
	if host, port, err := net.SplitHostPort(addr); err == nil {
		if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
			loopback := "127.0.0.1"
			if ip.Is6() {
				loopback = "::1"
			}
			addr = net.JoinHostPort(loopback, port)
		}
	}
	return "inet:" + addr, addr
}

// Carry does what a plan says: it changes Postfix's settings, follows the backlog, and puts the settings back. When ctx ends it puts them
// back at once. The report is also complete with an error of the following.
func (r *Rescue) Carry(ctx context.Context, p *Plan) (*Report, error) {
	unlock, err := r.store.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	if rec, err := r.store.record(); err != nil {
		return nil, err
	} else if rec != nil {
		r.tell(Note("the settings that the rescue of %s has left are put back first", rec.Begun.Format(time.DateTime)))
		if err := r.restore(ctx); err != nil {
			return nil, err
		}
	}
	if p.Carried == 0 {
		return r.account(ctx, p)
	}
	if err := mayChange(r.store.config); err != nil {
		return nil, err
	}
	if err := r.set(ctx, p); err != nil {
		return nil, err
	}
	r.tell(Note("Postfix brings the mail of %d recipients to %s; \"millrace rescue --undo\" puts its settings back if this command is killed", p.Carried, r.door))
	followed := r.follow(ctx, p)
	late, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if err := r.restore(late); err != nil {
		return nil, errors.Join(followed, fmt.Errorf("the settings are not put back: %w; \"millrace rescue --undo\" tries again", err))
	}
	r.tell(Note("Postfix's settings are put back"))
	report, err := r.account(late, p)
	return report, errors.Join(followed, err)
}

// mayChange reports why the user may not change Postfix's settings.
func mayChange(config string) error {
	if os.Geteuid() != 0 {
		return fmt.Errorf("a rescue changes files in %s and asks Postfix to reload: %w; run it as root, or look with --dry-run", config, fs.ErrPermission)
	}
	return nil
}

// undoTime is for putting the settings back when the command is interrupted.
const undoTime = 2 * time.Minute

// Undo puts back what an interrupted rescue has left. It reports false if there was nothing.
func (r *Rescue) Undo(ctx context.Context) (bool, error) {
	unlock, err := r.store.lock()
	if err != nil {
		return false, err
	}
	defer unlock()
	rec, err := r.store.record()
	if err != nil || rec == nil {
		return false, err
	}
	return true, r.restore(ctx)
}

// State returns the record of a rescue in force, nil if there is none, and whether its command still runs.
func (r *Rescue) State() (rec *Record, runs bool, err error) {
	unlock, err := r.store.lock()
	switch {
	case errors.Is(err, ErrBusy):
		runs = true
	case err != nil:
		return nil, false, err
	default:
		defer unlock()
	}
	rec, err = r.store.record()
	return rec, runs, err
}

// sortedKeys are the keys of a map in order.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
