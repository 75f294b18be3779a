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

// Record is one line of a dump. Fields that a kind does not have are left out.
type Record struct {
	// File, Offset, Kind and Bytes say where the record stands. The marks of one frame all have the offset of the frame.
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Kind   string `json:"kind"`
	Bytes  int64  `json:"bytes"`

	// Time is that of a commit, of the creation of a file, or when a deferred node is due.
	Time *time.Time `json:"time,omitempty"`
	// Number is that of the file; of an outcome, that of the segment it is about.
	Number uint64 `json:"number,omitempty"`
	// Position is that of the recipient who is done, or of the first recipient of a take.
	Position *uint32 `json:"position,omitempty"`
	// ID is that of the message, and QueueID what the MTA called it.
	ID      string   `json:"id,omitempty"`
	QueueID string   `json:"queue_id,omitempty"`
	From    *string  `json:"from,omitempty"`
	Rcpts   []string `json:"recipients,omitempty"`
	// Shared is the number of the shared record, or of the body of an older version, in the record itself and in the takes that name it.
	Shared *uint32 `json:"shared,omitempty"`
	// Tenant and Campaign are those with whose mail a take, or the first take of a shared record, takes turns.
	Tenant   string `json:"tenant,omitempty"`
	Campaign string `json:"campaign,omitempty"`
	// Copy says that a take was copied forward.
	Copy bool `json:"copy,omitempty"`
	// Totals are those of a commit or of a snapshot.
	Totals *Totals `json:"totals,omitempty"`
	// Node and Visits are those of a mark about a node.
	Node   *uint32 `json:"node,omitempty"`
	Visits int     `json:"visits,omitempty"`
	// Done and Total are of a vector: recipients done, and positions given out.
	Done  int    `json:"done,omitempty"`
	Total uint32 `json:"total,omitempty"`
	// Recipients is how many are done by one mark.
	Recipients uint32 `json:"recipient_count,omitempty"`
	// Text is a reply, why a recipient is done, what is damaged, or the name something is kept under.
	Text string `json:"text,omitempty"`
}

// Dump writes every record in the state directory dir to w, snapshots first, one a line, for people or as JSON. Bytes that do
// not match their checksum are a line of kind "damage" or "torn". Dump changes nothing, and a daemon may be running.
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

// line is the record as people read it.
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
	for i, v := range [...]*uint32{r.Position, r.Shared, r.Node} {
		if v != nil {
			s += [...]string{" position=", " shared=", " node="}[i] + strconv.Itoa(int(*v))
		}
	}
	if r.Recipients > 1 {
		s += fmt.Sprintf(" recipients=%d", r.Recipients)
	}
	if r.Campaign != "" || r.Tenant != "" {
		s += fmt.Sprintf(" campaign=%q tenant=%q", r.Campaign, r.Tenant)
	}
	if r.Totals != nil {
		s += fmt.Sprintf(" totals=%+v", *r.Totals)
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

// Verify reads everything in the state directory dir and changes nothing. It returns nil when everything that was durable is
// sound and nothing is missing. A torn tail is no fault: the commit never ended, and nobody was answered for it.
func Verify(dir string) error { return verify(osFS{dir}) }

// verify is Verify on any file system. A missing file is no record, so the survey of a start is asked as well.
func verify(sys FileSystem) error {
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

// walk gives out each record of each file. It goes on after damage, as Salvage would: a human wants to see what is left.
func walk(sys FileSystem, out func(Record) error) error {
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
	head        format.Header
	commons     map[uint32]*format.Common // of the shared records so far
}

// dumpFile gives out a record for the file and then those in it. A file that cannot be read is one record of damage.
func (d *dumper) dumpFile(sys FileSystem) error {
	data, err := readFile(sys, d.name, nil, maxSnapshot)
	if err != nil {
		return d.out(Record{File: d.name, Kind: "damage", Text: fmt.Sprintf("%s: %v", d.name, err)})
	}
	h, err := format.ReadHeader(d.name, d.magic, data)
	if err != nil {
		return d.out(Record{File: d.name, Kind: "damage", Bytes: int64(len(data)), Text: err.Error()})
	}
	d.names, d.head, d.commons = format.NewNames(), h, make(map[uint32]*format.Common)
	if err := d.out(Record{File: d.name, Kind: "file", Bytes: int64(len(data)), Number: h.Number, Time: &h.Created}); err != nil {
		return err
	}
	sc := d.scan(data, h)
	if err := sc.Each(d.dumpFrame); err != nil {
		return err
	}
	return d.dumpGaps(sc)
}

// scan is the scan that a recovery would use for this file, so that both agree about what is damage and what is torn.
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

// dumpGaps comes after the frames of the file, because only its last commit frame decides which gap is damage.
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
	if f.Kind == format.KindMarks || f.Kind == format.KindSoft {
		return d.dumpMarks(r, f)
	}
	if err := d.describe(&r, f); err != nil {
		return d.malformed(r, err)
	}
	return d.out(r)
}

// describe fills in what r says of a frame that holds one record.
func (d *dumper) describe(r *Record, f format.Frame) error {
	if !f.Kind.In(d.head.Version) {
		return format.ErrMalformed
	}
	switch f.Kind {
	case format.KindCommit:
		c, _ := format.DecodeCommit(f.Payload)
		if r.Time = &c.At; c.Counted {
			r.describeTotals(&c.Totals)
		}
	case format.KindBody, format.KindShared:
		s, err := decodeShared(f, d.names)
		if err == nil {
			d.commons[s.Number] = &s.Common
		}
		r.Shared, r.Tenant, r.Campaign, r.Text = &s.Number, s.Tenant, s.Campaign, fmt.Sprintf("%d bytes", len(s.View))
		return err
	case format.KindOldTake, format.KindTake:
		t := new(format.TakeRecord)
		err := d.decodeTake(t, f)
		r.describeTake(t)
		return err
	case format.KindVector:
		v, err := format.DecodeVector(f.Payload)
		r.Number, r.Total, r.Done = v.Number, v.Total, v.Done.Ones()
		return err
	case format.KindCounters:
		t, err := format.DecodeCounters(f.Payload, d.head.Version)
		r.describeTotals(&t)
		return err
	case format.KindKept:
		name, _, err := format.DecodeKept(f.Payload)
		r.Text = name
		return err
	}
	return nil
}

func (r *Record) describeTotals(t *format.Totals) {
	n := totalsOf(t)
	r.Totals = &n
}

// decodeShared reads a shared record, or what an older version has in its place.
func decodeShared(f format.Frame, names *format.Names) (format.Shared, error) {
	if f.Kind == format.KindBody {
		return format.DecodeBody(f.Payload)
	}
	return format.DecodeShared(f.Payload, names)
}

// decodeTake reads a take of any version. A take whose shared record is not there is shown with the strings of its own.
func (d *dumper) decodeTake(t *format.TakeRecord, f format.Frame) error {
	if f.Kind == format.KindOldTake {
		return t.DecodeOld(f.Payload, d.names)
	}
	basis := d.head.Basis()
	if err := t.DecodeStand(f.Payload, basis); err != nil {
		return err
	}
	return t.Decode(f.Payload, basis, d.commons[t.Shared], d.names)
}

// malformed gives out a record that matches its checksum and makes no sense.
func (d *dumper) malformed(r Record, err error) error {
	why := fmt.Sprintf("%s: at byte %d: %s: %v", d.name, r.Offset, r.Kind, err)
	return d.out(Record{File: r.File, Offset: r.Offset, Kind: "damage", Bytes: r.Bytes, Text: why})
}

// describeTake fills in the envelope. The content of a mail is not shown: a dump is often sent to somebody.
func (r *Record) describeTake(t *format.TakeRecord) {
	r.ID, r.QueueID, r.From, r.Position, r.Shared, r.Copy = relay.ID(t.ID).String(), t.QueueID, &t.From, &t.Base, &t.Shared, t.Copied
	r.Tenant, r.Campaign = t.Tenant, t.Campaign
	for _, x := range t.Rcpts {
		r.Rcpts = append(r.Rcpts, x.Addr)
	}
}

// dumpMarks gives out a record for each mark. All carry the offset of their frame. The first error of out ends it.
func (d *dumper) dumpMarks(r Record, f format.Frame) error {
	var failed error
	put := func(x Record) {
		if failed == nil {
			failed = d.out(x)
		}
	}
	err := format.ReadMarks(f.Payload, d.names, format.Marks{
		Done: func(segment uint64, position, n uint32, why format.Why) {
			x := r
			x.Kind, x.Number, x.Position, x.Recipients, x.Text = "done", segment, &position, n, why.String()
			put(x)
		},
		Waits: func(k format.Node, s format.Wait, _ bool) {
			x, due := r, s.DueTime()
			x.Kind, x.ID, x.Node, x.Visits, x.Time, x.Text = "deferred", relay.ID(k.ID).String(), &k.Index, s.Visits, &due, s.Reason
			put(x)
		},
		Begun: func(k format.Node) {
			x := r
			x.Kind, x.ID, x.Node = "begun", relay.ID(k.ID).String(), &k.Index
			put(x)
		},
		HeardID: func(id uint64, heard bool) {
			x := r
			x.Kind, x.ID = "unheard", relay.ID(id).String()
			if heard {
				x.Kind = "heard"
			}
			put(x)
		},
		Heard: func(segment uint64, position uint32) {
			x := r
			x.Kind, x.Number, x.Position = "heard", segment, &position
			put(x)
		},
	})
	if err != nil {
		return d.malformed(r, err)
	}
	return failed
}
