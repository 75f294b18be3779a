package format

import "encoding/binary"

// Vector says of one segment who in it is done. It is a frame of a snapshot: uvarint segment · uvarint positions given
// out · uvarint end · uvarint sure · bit vector.
type Vector struct {
	Number uint64
	Total  uint32 // positions given out
	End    uint64 // where its records end; 0 when more may have followed after the snapshot
	Sure   uint64 // up to here every record is known to have been durable: what is missing below is damage
	Done   Bits
}

// Append writes the vector.
func (v *Vector) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, v.Number)
	b = binary.AppendUvarint(b, uint64(v.Total))
	b = binary.AppendUvarint(b, v.End)
	b = binary.AppendUvarint(b, v.Sure)
	return v.Done.AppendWords(b)
}

// DecodeVector reads a vector frame.
func DecodeVector(p []byte) (Vector, error) {
	d := decode(p)
	v := Vector{Number: d.Uvarint(), Total: uint32(d.UpTo(MaxPosition)), End: d.Uvarint(), Sure: d.Uvarint()}
	v.Done = DecodeBits(d.Rest)
	if d.Bad {
		return Vector{}, ErrMalformed
	}
	return v, nil
}

// Append writes the counters frame: eight uvarints.
func (t *Totals) Append(b []byte) []byte {
	for _, n := range t {
		b = binary.AppendUvarint(b, n)
	}
	return b
}

// DecodeCounters reads a counters frame. Up to version 2 there are three, which counted since the start of the daemon, and are no
// totals.
func DecodeCounters(p []byte, version uint16) (t Totals, err error) {
	d := decode(p)
	if version < VersionShared {
		return Totals{}, nil
	}
	for i := range t {
		t[i] = d.Uvarint()
	}
	if d.Bad {
		return Totals{}, ErrMalformed
	}
	return t, nil
}

// AppendKept writes a kept frame: string name · bytes that another part of the daemon keeps under that name.
func AppendKept(b []byte, name string, kept []byte) []byte {
	return append(appendString(b, name), kept...)
}

// DecodeKept reads a kept frame. The result shares no memory with p.
func DecodeKept(p []byte) (name string, kept []byte, err error) {
	d := decode(p)
	name = d.text()
	if d.Bad {
		return "", nil, ErrMalformed
	}
	return name, append([]byte(nil), d.Rest...), nil
}

// AppendEnd writes the last frame of a snapshot: how many frames stand before it.
func AppendEnd(b []byte, frames uint64) []byte { return binary.AppendUvarint(b, frames) }

// Snapshot is a snapshot file that was read and matches its checksums from the first byte to the last.
type Snapshot struct {
	Head    Header
	Vectors []Vector
	Soft    [][]byte // marks, parts of the buffer the file was read into
	Kept    map[string][]byte
	Totals  Totals
}

// ParseSnapshot reads data, the content of the file called name. A snapshot is used whole or not at all: a vector that is
// missing would bring back mail that was sent, or hide a segment that is needed.
func ParseSnapshot(name string, data []byte) (*Snapshot, error) {
	h, err := ReadHeader(name, SnapshotMagic, data)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{Head: h, Kept: make(map[string][]byte)}
	sc := NewScan(name, data, h, 0)
	var frames, promised uint64
	ended := false
	err = sc.Each(func(f Frame) error {
		if f.Kind == KindEnd {
			d := decode(f.Payload)
			promised, ended = d.Uvarint(), !d.Bad
			return nil
		}
		frames++
		return s.include(f)
	})
	switch {
	case err != nil:
		return nil, &DamageError{File: name, Why: err.Error()}
	case len(sc.Gaps) > 0:
		return nil, sc.Gaps[0]
	case !ended || frames != promised:
		return nil, &DamageError{File: name, Why: "it ends early"}
	}
	return s, nil
}

func (s *Snapshot) include(f Frame) error {
	switch f.Kind {
	case KindVector:
		v, err := DecodeVector(f.Payload)
		s.Vectors = append(s.Vectors, v)
		return err
	case KindSoft:
		s.Soft = append(s.Soft, f.Payload)
	case KindCounters:
		t, err := DecodeCounters(f.Payload, s.Head.Version)
		s.Totals = t
		return err
	case KindKept:
		name, kept, err := DecodeKept(f.Payload)
		s.Kept[name] = kept
		return err
	default:
		return ErrMalformed
	}
	return nil
}
