package licence

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// Offer is what a licence server has to hand out.
type Offer struct {
	Licensee string
	Total    uint64        // recipients of all servers together
	Slice    uint64        // recipients that one server gets at once
	For      time.Duration // how long a slice holds
}

// Validate returns what is wrong.
func (o Offer) Validate() error {
	switch {
	case o.Licensee == "":
		return errors.New("licensee: is empty; say whose allowance it is")
	case o.Total < 1 || o.Total > MaxLimit:
		return fmt.Errorf("total: %d is not between 1 and %d", o.Total, uint64(MaxLimit))
	case o.Slice < 1 || o.Slice > o.Total:
		return fmt.Errorf("slice: %d is not between 1 and the total, %d", o.Slice, o.Total)
	case o.For < time.Minute || o.For > maxGrace:
		return fmt.Errorf("a slice of %s: write a time between one minute and a year", o.For)
	}
	return nil
}

// Pool is an allowance that several servers share, and what they have used of it. Its file is durable before a slice is given away. Only
// one goroutine may use a Pool at a time.
//
// A slice is a ceiling for the absolute counter of one installation. What an installation may still send under the slices that it may
// hold is set aside for it. That comes back when a report says that a newer slice, with less in it, has replaced them, or when they have
// expired. An installation that could not report, and whose slice has expired, may have used it all the same: so the total may be exceeded
// by what such slices had left, one for each such installation, and by nothing else.
type Pool struct {
	path string
	lock *os.File // open while the Pool is: two programs would hand out everything twice
	ledger
}

// ErrInUse is returned when another program has the pool.
var ErrInUse = errors.New("another licence server uses it")

// ledger is the file.
type ledger struct {
	Version  int        `json:"version"`
	Serial   uint64     `json:"serial"`  // of the last slice
	Retired  uint64     `json:"retired"` // sent by installations that are forgotten
	Accounts []*holding `json:"accounts"`
}

// holding is what is known of one installation.
type holding struct {
	Server       string    `json:"server"` // by its token
	Installation string    `json:"installation"`
	Hostname     string    `json:"hostname"`
	Program      string    `json:"program,omitempty"`
	First        time.Time `json:"first"`
	Reported     time.Time `json:"reported"`
	Base         uint64    `json:"base"` // its counter at its first report: what it sent before is not of this pool
	Sent         uint64    `json:"sent"`
	Left         uint64    `json:"left"`
	Held         slice     `json:"held"` // the slice that it says it holds
	Given        slice     `json:"given"`
}

// slice is one slice that was given away.
type slice struct {
	Serial  uint64    `json:"serial"` // 0: none
	Ceiling uint64    `json:"ceiling"`
	Expires time.Time `json:"expires"`
	Text    []byte    `json:"text,omitempty"` // its file
}

const (
	poolVersion = 1
	// maxInstallations bounds how many a Pool remembers of one server, which has a new one with each new state directory.
	maxInstallations = 16
	// maxPool bounds the file.
	maxPool = 16 << 20
)

// OpenPool reads the file of a pool; a file that does not exist is a new pool. Close must be called.
func OpenPool(path string) (*Pool, error) {
	lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	p := &Pool{path: path, lock: lock, ledger: ledger{Version: poolVersion}}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, ErrInUse), p.Close())
	}
	if err := p.read(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Close lets another program open the pool. The file of the lock stays: whoever deleted it could delete one that was just locked.
func (p *Pool) Close() error { return p.lock.Close() }

// read reads the file.
func (p *Pool) read() error {
	info, err := os.Stat(p.path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Size() > maxPool:
		return fmt.Errorf("%s: larger than %d bytes; it is no pool", p.path, maxPool)
	}
	text, err := os.ReadFile(p.path)
	if err == nil {
		err = json.Unmarshal(text, &p.ledger)
	}
	if err == nil && (p.Version != poolVersion || slices.ContainsFunc(p.Accounts, (*holding).damaged)) {
		err = errors.New("it is of another version, or damaged")
	}
	if err != nil {
		return fmt.Errorf("%s: %w; without it nobody knows what was handed out", p.path, err)
	}
	return nil
}

func (h *holding) damaged() bool { return h == nil || h.Sent < h.Base }

// save makes the pool durable.
func (p *Pool) save() error {
	text, err := json.MarshalIndent(p.ledger, "", " ")
	if err != nil {
		return err
	}
	return replace(p.path, append(text, '\n'), 0o600)
}

// Used is what was sent of the total, and what is set aside for installations that may still send it.
func (p *Pool) Used(now time.Time) (sent, aside uint64) {
	sent = p.Retired
	for _, h := range p.Accounts {
		sent += h.Sent - h.Base
		aside += h.aside(now)
	}
	return sent, aside
}

// aside is what the installation may still send: up to the ceiling of a slice that holds. What it has on its way it sends in any case.
func (h *holding) aside(now time.Time) uint64 {
	top := h.Sent + h.Left
	for _, s := range [...]slice{h.Held, h.Given} {
		if now.Before(s.Expires) {
			top = max(top, s.Ceiling)
		}
	}
	return top - h.Sent
}

// Report notes what an installation has told, and answers it: with a slice, or with the reason why there is none. The same report gets the
// same slice until that is of no use. After an error nothing was given away.
func (p *Pool) Report(server string, r Report, o Offer, key PrivateKey, now time.Time) (Answer, error) {
	h := p.find(server, r, now)
	h.Sent, h.Left = max(h.Sent, r.Sent), r.Left
	h.Hostname, h.Program, h.Reported = r.Hostname, r.Version, now
	if h.Given.Serial > 0 && r.Holding == serialOf(h.Given.Serial) {
		h.Held = h.Given
	}
	answer, err := p.answer(h, o, key, now)
	if err == nil {
		err = p.save()
	}
	if err != nil {
		return Answer{}, err
	}
	return answer, nil
}

// find is the account of an installation. One that is new begins at what it has sent before.
func (p *Pool) find(server string, r Report, now time.Time) *holding {
	for _, h := range p.Accounts {
		if h.Server == server && h.Installation == r.Installation {
			return h
		}
	}
	h := &holding{Server: server, Installation: r.Installation, First: now, Base: r.Sent, Sent: r.Sent}
	p.Accounts = append(p.Accounts, h)
	p.forget(server)
	return h
}

// forget drops the oldest installation of a server that has too many.
func (p *Pool) forget(server string) {
	oldest, n := -1, 0
	for i, h := range p.Accounts {
		if h.Server != server {
			continue
		}
		if n++; oldest < 0 || h.Reported.Before(p.Accounts[oldest].Reported) && !h.Reported.IsZero() {
			oldest = i
		}
	}
	if n > maxInstallations {
		p.Retired += p.Accounts[oldest].Sent - p.Accounts[oldest].Base
		p.Accounts = slices.Delete(p.Accounts, oldest, oldest+1)
	}
}

// answer gives an installation its slice.
func (p *Pool) answer(h *holding, o Offer, key PrivateKey, now time.Time) (Answer, error) {
	ceiling := p.ceiling(h, o, now)
	fresh := h.Given.Expires.Sub(now) > o.For/2 && h.Given.Serial > 0
	unheard := h.Given.Serial != h.Held.Serial
	if fresh && (unheard && h.Given.Ceiling > h.Sent+h.Left || h.Given.Ceiling == ceiling) {
		return Answer{Slice: h.Given.Text}, nil
	}
	if ceiling <= h.Sent+h.Left {
		if now.Before(h.Given.Expires) && h.Given.Ceiling > h.Sent {
			return Answer{Slice: h.Given.Text}, nil // what it has on its way is within it
		}
		return Answer{Refused: fmt.Sprintf("all of the %d recipients are used or handed out", o.Total)}, nil
	}
	return p.give(h, ceiling, o, key, now)
}

// ceiling is up to where the installation's counter may go: a slice above what it has sent or on its way, as far as the total goes. What is
// set aside for it already is its own.
func (p *Pool) ceiling(h *holding, o Offer, now time.Time) uint64 {
	sent, aside := p.Used(now)
	aside -= h.aside(now)
	free := o.Total - min(o.Total, sent+aside)
	return h.Sent + min(free, h.Left+o.Slice)
}

// give signs a slice.
func (p *Pool) give(h *holding, ceiling uint64, o Offer, key PrivateKey, now time.Time) (Answer, error) {
	now = now.UTC().Truncate(time.Second)
	l := Licence{
		Version: Version, Licensee: o.Licensee, Serial: serialOf(p.Serial + 1), Issued: now, NotBefore: now.Add(-skew), Expires: now.Add(o.For),
		Ceiling: ceiling, Installation: h.Installation,
	}
	text, err := l.Sign(key)
	if err != nil {
		return Answer{}, err
	}
	p.Serial++
	h.Given = slice{p.Serial, ceiling, l.Expires, text}
	return Answer{Slice: text}, nil
}

// skew is how far the clock of an installation may be behind the server's.
const skew = time.Hour

func serialOf(n uint64) string { return fmt.Sprintf("slice-%d", n) }

// Statistics lists the installations, by server.
func (p *Pool) Statistics(now time.Time) (list []Statistic) {
	for _, h := range p.Accounts {
		list = append(list, Statistic{
			Server: h.Server, Hostname: h.Hostname, Installation: h.Installation, Program: h.Program, Reported: h.Reported,
			Sent: h.Sent, Used: h.Sent - h.Base, Left: h.Left, Aside: h.aside(now),
		})
	}
	return list
}

// Statistic is what is known of one installation.
type Statistic struct {
	Server       string    `json:"server"`
	Hostname     string    `json:"hostname"`
	Installation string    `json:"installation"`
	Program      string    `json:"program,omitempty"`
	Reported     time.Time `json:"reported"`
	Sent         uint64    `json:"sent"`  // since its first start
	Used         uint64    `json:"used"`  // of the pool
	Left         uint64    `json:"left"`  // on its way
	Aside        uint64    `json:"aside"` // it may still send, what is on its way included
}
