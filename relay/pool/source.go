package pool

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/millrace/millrace/relay/smtp"
)

// maxTurns is for how many providers the turns of the sources are known one by one. All others have their turns together.
const maxTurns = 10_000

// Sources is the addresses that mail is sent from: the [[source]] tables, or one default source when there are none. It knows
// who may use which, whose turn it is, and what the warm-up plans leave of the day. It has no clock and no goroutine.
// Every method is safe for concurrent use.
type Sources struct {
	zone *time.Location // whose midnight begins a plan's day

	mu    sync.Mutex
	list  []*Source // in force, in the order of the file
	phase turn      // of a provider that is seen for the first time
	turns map[string]turn
	books map[identity]*book // of the sources in force, and of those that a file named lately

	write     func([]byte) error // KeepWith
	flying    *flight            // the write under way
	concluded bool               // Conclude was called
	kept      bool               // Recall had a state
	lost      Day                // what was spent on that day is not known; 0: on no day
}

// turn is what each source is owed, by Source.place: smooth weighted round robin. The sum is 0.
type turn []int

// identity is what the counters of a source belong to. A source with another address has another reputation.
type identity struct {
	name      string
	four, six netip.Addr
}

// Source is one address, or one of each family, that mail is sent from. It stays the same over a reload when its name and
// its addresses do.
type Source struct {
	identity
	all   *Sources
	terms atomic.Pointer[SourceConfig]
	wired atomic.Pointer[wired]
	place int   // in all.list, -1: not in force; guarded by all.mu
	book  *book // guarded by all.mu
}

// wired is settings of the wire, and the same with the source's address.
type wired struct {
	terms    *SourceConfig
	from, to *smtp.Config
}

// CompileSources returns the sources of the [[source]] tables. Without any there is one, the default: it sends as base says.
func CompileSources(cfg []SourceConfig, base smtp.Config) (*Sources, error) {
	s := &Sources{zone: time.Local, books: make(map[identity]*book)}
	return s, s.Reload(cfg)
}

// Reload replaces the tables. After an error nothing has changed. A Source whose name and addresses stay goes on with its
// counters. A Source that is taken out is Allowed to nobody from then on.
func (s *Sources) Reload(cfg []SourceConfig) error {
	cfg = slices.Clone(cfg)
	for i := range cfg {
		if cfg[i].Weight == 0 { // made by a program: Load fills it in
			cfg[i].SetDefaults()
		}
	}
	if err := ValidateSources(cfg); err != nil {
		return err
	}
	if len(cfg) == 0 {
		cfg = []SourceConfig{{Weight: 1}}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.list
	s.list = nil
	for _, src := range before {
		src.place = -1
	}
	for i := range cfg {
		src := s.source(before, &cfg[i])
		src.place = i
		src.terms.Store(&cfg[i])
		s.list = append(s.list, src)
	}
	s.phase, s.turns = make(turn, len(s.list)), make(map[string]turn)
	return nil
}

// source is the Source of a table: the one there was, or a new one. The mutex is held.
func (s *Sources) source(before []*Source, c *SourceConfig) *Source {
	id := identity{c.Name, c.Address, c.Address6}
	if i := slices.IndexFunc(before, func(src *Source) bool { return src.identity == id }); i >= 0 {
		return before[i]
	}
	return &Source{identity: id, all: s, book: s.book(id)}
}

// Name is the source's name, "" for the default.
func (s *Source) Name() string { return s.name }

// sole is the source by which all mail leaves; nil when there is a choice.
func (s *Sources) sole() *Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == 1 && s.list[0].isDefault() {
		return s.list[0]
	}
	return nil
}

// isDefault reports whether the source stands for no table.
func (s *Source) isDefault() bool { return s.name == "" }

// Reaches reports whether the source has an address of the family of to. Without one, a connection would come from an address
// that the system chooses.
func (s *Source) Reaches(to netip.Addr) bool { return s.reaches(to.Unmap().Is4(), !to.Unmap().Is4()) }

func (s *Source) reaches(has4, has6 bool) bool {
	return s.isDefault() || has4 && s.four.IsValid() || has6 && s.six.IsValid()
}

// Wire returns cfg with the source's addresses and its name in EHLO. cfg must not be changed afterwards. The result is kept
// for the next call with the same cfg. Over a family that the source lacks, the result connects to nobody.
func (s *Source) Wire(cfg *smtp.Config) *smtp.Config {
	if s.isDefault() {
		return cfg
	}
	terms := s.terms.Load()
	if w := s.wired.Load(); w != nil && w.from == cfg && w.terms == terms {
		return w.to
	}
	to := *cfg
	to.Local4, to.Local6 = s.four, s.six
	if terms.Helo != "" {
		to.Hostname = terms.Helo
	}
	if !s.four.IsValid() || !s.six.IsValid() {
		to.Dial = s.refuseOther(cfg)
	}
	s.wired.Store(&wired{terms, cfg, &to})
	return &to
}

// refuseOther dials as cfg does, but not without the source's address.
func (s *Source) refuseOther(cfg *smtp.Config) func(context.Context, *net.Dialer, string, string) (net.Conn, error) {
	return func(ctx context.Context, d *net.Dialer, _, addr string) (net.Conn, error) {
		if d.LocalAddr == nil {
			return nil, fmt.Errorf("source %s has no address of the family of %s", s.name, addr)
		}
		return cfg.Connect(ctx, d, addr)
	}
}

// Choose names the source for the next visit, by smooth weighted round robin for each provider. It chooses among the sources
// that are named, or without names among those that are not reserved, that have an address of one of the families, and whose
// plan has room for one recipient. It reports false when there is none today: the mail belongs to the MTA then, because
// nothing waits for a plan. [Sources.Lacking] says why.
func (s *Sources) Choose(names []string, provider string, has4, has6 bool, now time.Time) (*Source, bool) {
	return s.ChooseFor(names, provider, has4, has6, 1, now)
}

// ChooseFor is Choose for a message with so many recipients at the provider. It names no source whose plan has less room.
func (s *Sources) ChooseFor(names []string, provider string, has4, has6 bool, recipients int, now time.Time) (*Source, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	day := dayOf(now, s.zone)
	owed, known := s.turns[provider]
	if !known {
		owed = s.phase
	}
	var chosen *Source
	sum := 0
	for i, src := range s.list {
		if !src.allowed(names) || !src.reaches(has4, has6) || src.room(provider, day) < recipients {
			continue
		}
		weight := src.terms.Load().Weight
		owed[i], sum = owed[i]+weight, sum+weight
		if chosen == nil || owed[i] > owed[chosen.place] {
			chosen = src
		}
	}
	if chosen == nil {
		return nil, false
	}
	owed[chosen.place] -= sum
	if !known && len(s.turns) < maxTurns && len(s.list) > 1 {
		s.turns[provider] = slices.Clone(s.phase)
	}
	return chosen, true
}

// each lists the sources in force.
func (s *Sources) each() []*Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// Allowed reports whether mail with these names may still go by src: after a reload it may not.
func (s *Sources) Allowed(src *Source, names []string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return src.place >= 0 && src.allowed(names)
}

// allowed reports whether mail that names these sources may go by s.
func (s *Source) allowed(names []string) bool {
	if s.isDefault() {
		return true
	}
	if len(names) == 0 {
		return !s.terms.Load().Reserved
	}
	return slices.Contains(names, s.name)
}

// Lacking says why Choose named no source, in a few words for the log and the admin.
func (s *Sources) Lacking(names []string, provider string, has4, has6 bool, now time.Time) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	day := dayOf(now, s.zone)
	var why []string
	more := 0
	for _, src := range s.list {
		switch lack := src.lacks(provider, has4, has6, day); {
		case !src.allowed(names) || lack == "":
		case len(why) == maxLacking:
			more++
		default:
			why = append(why, src.name+" "+lack)
		}
	}
	if more > 0 {
		why = append(why, fmt.Sprintf("and %d more", more))
	}
	if len(why) == 0 {
		return "no source may send this mail"
	}
	return "no source can send to " + provider + " now: " + strings.Join(why, ", ")
}

// maxLacking is how many sources Lacking names.
const maxLacking = 4

// lacks is why the source does not send to the provider, "" when it does. Sources.mu is held.
func (s *Source) lacks(provider string, has4, has6 bool, day Day) string {
	w := planFor(s.terms.Load().Warmup, provider)
	switch {
	case !s.reaches(has4, has6):
		return "has no address of the receiver's family"
	case w == nil || w.limit(day) == noLimit:
		return ""
	case w.limit(day) == 0:
		return "begins its warm-up on " + w.Start.String()
	}
	spent := min(w.limit(day)-s.room(provider, day), w.limit(day))
	return fmt.Sprintf("has spent %d of the %d recipients of its warm-up until midnight", spent, w.limit(day))
}

// SourceView is a source, as the admin sees it.
type SourceView struct {
	Name     string        `json:"name"`
	Address  string        `json:"address,omitempty"`
	Address6 string        `json:"address6,omitempty"`
	Helo     string        `json:"helo_name,omitempty"` // "": smtp.helo_name
	Weight   int           `json:"weight"`
	Reserved bool          `json:"reserved,omitempty"`
	Warming  []WarmingView `json:"warming,omitempty"`
}

// WarmingView is what a plan allows a provider today, and what of it is spent. A plan that has recipients of no provider yet
// stands there with the provider's name, or with "" for the providers that no plan names.
type WarmingView struct {
	Provider string `json:"provider"`
	Plan     int    `json:"plan"`
	Spent    int    `json:"spent"`
}

// maxWarming is how many providers View shows of a source.
const maxWarming = 1000

// View shows the sources in force, and the plans that are not over.
func (s *Sources) View(now time.Time) []SourceView {
	s.mu.Lock()
	defer s.mu.Unlock()
	day := dayOf(now, s.zone)
	var all []SourceView
	for _, src := range s.list {
		c := src.terms.Load()
		all = append(all, SourceView{
			Name: src.name, Address: written(src.four), Address6: written(src.six), Helo: c.Helo,
			Weight: c.Weight, Reserved: c.Reserved, Warming: src.warming(day),
		})
	}
	return all
}

// written is an address as text, "" for none.
func written(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// warming is View's part of one source. The mutex is held.
func (s *Source) warming(day Day) (list []WarmingView) {
	plans := s.terms.Load().Warmup
	today := s.book.existing(day)
	if today == nil {
		today = new(page)
	}
	names := slices.Collect(maps.Keys(today.counts))
	for _, w := range plans {
		names = append(names, w.Providers...)
		if len(w.Providers) == 0 {
			names = append(names, "")
		}
	}
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		w := planFor(plans, name)
		if w == nil || w.limit(day) == noLimit || len(list) == maxWarming {
			continue
		}
		list = append(list, WarmingView{name, w.limit(day), min(today.spent(name), w.limit(day))})
	}
	return list
}
