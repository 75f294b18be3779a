package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/millrace/millrace/relay"
)

// Record is one line of a dump.
type Record struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Kind   string `json:"kind"`
	Bytes  int64  `json:"bytes"`

	Time     *time.Time `json:"time,omitempty"`     // commit, deferred: due
	Number   uint64     `json:"number,omitempty"`   // file: its number; body: its number; outcome: segment
	Position *uint32    `json:"position,omitempty"` // take: of the first recipient; done
	ID       string     `json:"id,omitempty"`
	QueueID  string     `json:"queue_id,omitempty"`
	From     *string    `json:"from,omitempty"`
	Rcpts    []string   `json:"recipients,omitempty"`
	Body     *uint32    `json:"body,omitempty"`
	Copy     bool       `json:"copy,omitempty"`
	Node     *uint32    `json:"node,omitempty"`
	Visits   int        `json:"visits,omitempty"`
	Done     int        `json:"done,omitempty"`  // vector
	Total    uint32     `json:"total,omitempty"` // vector
	Text     string     `json:"text,omitempty"`  // reason, damage, name
}

// Dump writes every record in the state directory dir to w, snapshots first, one a line, for people or as JSON. What
// does not check is a line of kind "damage" or "torn". It changes nothing and does not mind a daemon that is running.
func Dump(dir string, w io.Writer, asJSON bool) error {
	out := func(r Record) error {
		_, err := fmt.Fprintln(w, r.line())
		return err
	}
	if asJSON {
		enc := json.NewEncoder(w)
		out = func(r Record) error { return enc.Encode(r) }
	}
	return walk(osFS{dir}, out)
}

// line is the record for people.
func (r Record) line() string {
	s := fmt.Sprintf("%s %d %s %d bytes", r.File, r.Offset, r.Kind, r.Bytes)
	if r.Number > 0 {
		s += fmt.Sprintf(" number=%d", r.Number)
	}
	if r.ID != "" {
		s += " id=" + r.ID
	}
	if r.From != nil {
		s += fmt.Sprintf(" from=<%s> to=%q", *r.From, r.Rcpts)
	}
	for i, v := range [...]*uint32{r.Position, r.Body, r.Node} {
		if v != nil {
			s += [...]string{" position=", " body=", " node="}[i] + strconv.Itoa(int(*v))
		}
	}
	if r.Total > 0 {
		s += fmt.Sprintf(" done=%d/%d", r.Done, r.Total)
	}
	if r.Time != nil {
		s += " time=" + r.Time.UTC().Format(time.RFC3339Nano)
	}
	if r.Text != "" {
		s += " " + strconv.Quote(r.Text)
	}
	return s
}

// Verify reads everything in the state directory dir and changes nothing. It returns nil when all that was durable
// checks and nothing is missing; the end of a commit that never ended is no fault.
func Verify(dir string) error { return verify(osFS{dir}) }

func verify(sys fileSystem) error {
	var faults []error
	err := walk(sys, func(r Record) error {
		if r.Kind == "damage" {
			faults = append(faults, fmt.Errorf("%w: %s", ErrDamaged, r.Text))
		}
		return nil
	})
	if _, lerr := look(sys, false); lerr != nil {
		faults = append(faults, lerr)
	}
	return errors.Join(append(faults, err)...)
}

// walk gives out each record of each file.
func walk(sys fileSystem, out func(Record) error) error {
	v, err := look(sys, true)
	if err != nil {
		return err
	}
	for _, dir := range []struct{ name, ext, magic string }{{snapshotDir, snapshotExt, snapshotMagic}, {journalDir, segmentExt, segmentMagic}} {
		numbers, err := (&survey{}).list(sys, dir.name, dir.ext)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			d := dumper{name: numbered(dir.name, n, dir.ext), magic: dir.magic, number: n, out: out, survey: v}
			if err := d.file(sys); err != nil {
				return err
			}
		}
	}
	return nil
}

// dumper gives out the records of one file.
type dumper struct {
	name, magic string
	number      uint64
	survey      *survey
	out         func(Record) error
	names       *interned
}

func (d *dumper) file(sys fileSystem) error {
	data, err := readFile(sys, d.name, nil, maxSnapshot)
	if err != nil {
		return d.out(Record{File: d.name, Kind: "damage", Text: fmt.Sprintf("%s: %v", d.name, err)})
	}
	h, err := readHeader(d.name, d.magic, data)
	if err != nil {
		return d.out(Record{File: d.name, Kind: "damage", Bytes: int64(len(data)), Text: err.Error()})
	}
	d.names = newInterned()
	if err := d.out(Record{File: d.name, Kind: "file", Bytes: int64(len(data)), Number: h.number, Time: &h.created}); err != nil {
		return err
	}
	sc := d.scan(data, h)
	if err := sc.run(d.frame); err != nil {
		return err
	}
	return d.gaps(sc)
}

// scan is what recovery would use for this file.
func (d *dumper) scan(data []byte, h header) *scan {
	sure := uint64(len(data)) // a snapshot is durable before it has its name
	if d.magic == segmentMagic {
		sure = 0
		if i, ok := d.survey.find(d.number); ok {
			s := d.survey.segments[i]
			if s.end > 0 && s.end < uint64(len(data)) {
				data = data[:s.end]
			}
			sure = s.sure
		}
	}
	sc := newScan(d.name, data, h)
	sc.durable = int64(sure)
	return sc
}

func (d *dumper) gaps(sc *scan) error {
	for _, g := range sc.damage {
		if err := d.out(Record{File: d.name, Offset: g.From, Kind: "damage", Bytes: g.To - g.From, Text: g.Error()}); err != nil {
			return err
		}
	}
	for _, g := range sc.torn {
		if err := d.out(Record{File: d.name, Offset: g.From, Kind: "torn", Bytes: g.To - g.From, Text: g.Error()}); err != nil {
			return err
		}
	}
	return nil
}

// frame gives out the records in one frame.
func (d *dumper) frame(f frame) error {
	r := Record{File: d.name, Offset: f.at, Kind: f.kind.String(), Bytes: f.size()}
	switch f.kind {
	case kindMarks, kindSoft:
		return d.marks(r, f)
	case kindBatch:
		sc := scan{}
		sc.commit(f.payload)
		r.Time = &sc.last
	case kindBody:
		n, _, body, err := decodeBody(f.payload)
		if err != nil {
			return d.malformed(r, err)
		}
		r.Body, r.Text = &n, fmt.Sprintf("%d bytes", len(body))
	case kindTake:
		t, err := decodeTake(f.payload, d.names)
		if err != nil {
			return d.malformed(r, err)
		}
		r.take(t)
	case kindVector, kindKept:
		s := &snapshotData{kept: make(map[string][]byte)}
		if err := s.add(f); err != nil {
			return d.malformed(r, err)
		}
		r.vector(s)
	}
	return d.out(r)
}

func (d *dumper) malformed(r Record, err error) error {
	r.Kind, r.Text = "damage", fmt.Sprintf("%s: at byte %d: %s: %v", d.name, r.Offset, r.Kind, err)
	return d.out(r)
}

func (r *Record) take(t *takeRecord) {
	r.ID, r.QueueID, r.From, r.Position, r.Body, r.Copy = t.msg.ID.String(), t.msg.QueueID, &t.msg.From, &t.base, &t.body, t.copied
	for _, x := range t.msg.Rcpts {
		r.Rcpts = append(r.Rcpts, x.Addr)
	}
}

func (r *Record) vector(s *snapshotData) {
	for _, v := range s.vectors {
		r.Number, r.Total, r.Done = v.number, v.total, v.done.count()
	}
	for name := range s.kept {
		r.Text = name
	}
}

// marks gives out a record for each mark. All carry the offset of their frame.
func (d *dumper) marks(r Record, f frame) error {
	var failed error
	put := func(x Record) {
		if failed == nil {
			failed = d.out(x)
		}
	}
	err := readMarks(f.payload, d.names, markVisitor{
		done: func(segment uint64, position uint32) {
			x := r
			x.Kind, x.Number, x.Position = "done", segment, &position
			put(x)
		},
		waiting: func(k softKey, s soft) {
			x, due := r, s.Due()
			x.Kind, x.ID, x.Node, x.Visits, x.Time, x.Text = "deferred", k.id.String(), &k.node, s.visits, &due, s.reason
			put(x)
		},
		begun: func(k softKey) {
			x := r
			x.Kind, x.ID, x.Node = "begun", k.id.String(), &k.node
			put(x)
		},
		heard: func(id relay.ID, known bool) {
			x := r
			x.Kind, x.ID = "unheard", id.String()
			if known {
				x.Kind = "heard"
			}
			put(x)
		},
	})
	if err != nil {
		return d.malformed(r, err)
	}
	return failed
}
