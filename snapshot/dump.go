package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/snapshot/format"
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
	for _, dir := range []struct{ name, ext, magic string }{{snapshotDir, snapshotExt, format.SnapshotMagic}, {journalDir, segmentExt, format.SegmentMagic}} {
		numbers, err := (&survey{}).numbersIn(sys, dir.name, dir.ext)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			d := dumper{name: numbered(dir.name, n, dir.ext), magic: dir.magic, number: n, out: out, survey: v}
			if err := d.dumpFile(sys); err != nil {
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
	names       *format.Names
}

func (d *dumper) dumpFile(sys fileSystem) error {
	data, err := readFile(sys, d.name, nil, maxSnapshot)
	if err != nil {
		return d.out(Record{File: d.name, Kind: "damage", Text: fmt.Sprintf("%s: %v", d.name, err)})
	}
	h, err := format.ReadHeader(d.name, d.magic, data)
	if err != nil {
		return d.out(Record{File: d.name, Kind: "damage", Bytes: int64(len(data)), Text: err.Error()})
	}
	d.names = format.NewNames()
	if err := d.out(Record{File: d.name, Kind: "file", Bytes: int64(len(data)), Number: h.Number, Time: &h.Created}); err != nil {
		return err
	}
	sc := d.scan(data, h)
	if err := sc.Each(d.dumpFrame); err != nil {
		return err
	}
	return d.dumpGaps(sc)
}

// scan is what recovery would use for this file.
func (d *dumper) scan(data []byte, h format.Header) *format.Scan {
	sure := uint64(len(data)) // a snapshot is durable before it has its name
	if d.magic == format.SegmentMagic {
		sure = 0
		if i, ok := d.survey.segment(d.number); ok {
			s := d.survey.segments[i]
			if s.end > 0 && s.end < uint64(len(data)) {
				data = data[:s.end]
			}
			sure = s.sure
		}
	}
	return format.NewScan(d.name, data, h, int64(sure))
}

func (d *dumper) dumpGaps(sc *format.Scan) error {
	for _, g := range sc.Damage {
		if err := d.out(Record{File: d.name, Offset: g.From, Kind: "damage", Bytes: g.To - g.From, Text: g.Error()}); err != nil {
			return err
		}
	}
	for _, g := range sc.Torn {
		if err := d.out(Record{File: d.name, Offset: g.From, Kind: "torn", Bytes: g.To - g.From, Text: g.Error()}); err != nil {
			return err
		}
	}
	return nil
}

// dumpFrame gives out the records in one frame.
func (d *dumper) dumpFrame(f format.Frame) error {
	r := Record{File: d.name, Offset: f.At, Kind: f.Kind.String(), Bytes: f.Len()}
	switch f.Kind {
	case format.KindMarks, format.KindSoft:
		return d.dumpMarks(r, f)
	case format.KindCommit:
		_, at, _ := format.DecodeCommit(f.Payload)
		r.Time = &at
	case format.KindBody:
		b, err := format.DecodeBody(f.Payload)
		if err != nil {
			return d.malformed(r, err)
		}
		r.Body, r.Text = &b.Number, fmt.Sprintf("%d bytes", len(b.Content))
	case format.KindTake:
		t, err := format.DecodeTake(f.Payload, d.names)
		if err != nil {
			return d.malformed(r, err)
		}
		r.describeTake(t)
	case format.KindVector:
		v, err := format.DecodeVector(f.Payload)
		if err != nil {
			return d.malformed(r, err)
		}
		r.Number, r.Total, r.Done = v.Number, v.Total, v.Done.Ones()
	case format.KindKept:
		name, _, err := format.DecodeKept(f.Payload)
		if err != nil {
			return d.malformed(r, err)
		}
		r.Text = name
	}
	return d.out(r)
}

func (d *dumper) malformed(r Record, err error) error {
	r.Kind, r.Text = "damage", fmt.Sprintf("%s: at byte %d: %s: %v", d.name, r.Offset, r.Kind, err)
	return d.out(r)
}

func (r *Record) describeTake(t *format.TakeRecord) {
	r.ID, r.QueueID, r.From, r.Position, r.Body, r.Copy = relay.ID(t.ID).String(), t.QueueID, &t.From, &t.Base, &t.Body, t.Copied
	for _, x := range t.Rcpts {
		r.Rcpts = append(r.Rcpts, x.Addr)
	}
}

// dumpMarks gives out a record for each mark. All carry the offset of their frame.
func (d *dumper) dumpMarks(r Record, f format.Frame) error {
	var failed error
	put := func(x Record) {
		if failed == nil {
			failed = d.out(x)
		}
	}
	err := format.ReadMarks(f.Payload, d.names, format.Marks{
		Done: func(segment uint64, position uint32) {
			x := r
			x.Kind, x.Number, x.Position = "done", segment, &position
			put(x)
		},
		Waits: func(k format.Node, s format.Wait) {
			x, due := r, s.DueTime()
			x.Kind, x.ID, x.Node, x.Visits, x.Time, x.Text = "deferred", relay.ID(k.ID).String(), &k.Index, s.Visits, &due, s.Reason
			put(x)
		},
		Begun: func(k format.Node) {
			x := r
			x.Kind, x.ID, x.Node = "begun", relay.ID(k.ID).String(), &k.Index
			put(x)
		},
		Heard: func(id uint64, heard bool) {
			x := r
			x.Kind, x.ID = "unheard", relay.ID(id).String()
			if heard {
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
