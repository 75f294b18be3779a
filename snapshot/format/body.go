package format

import "encoding/binary"

// Body is the body of one or more messages of a segment, written once. On the disk: uvarint number · 32 bytes SHA-256 of
// the body · body.
type Body struct {
	Number  uint32 // within its segment
	Sum     [32]byte
	Content []byte
}

// Append writes the record.
func (r *Body) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.Number))
	b = append(b, r.Sum[:]...)
	return append(b, r.Content...)
}

// DecodeBody reads a body record. Content is a part of p: bodies are large, and most are needed once for many messages.
// The sum is not compared with the content: the frame's checksum has vouched for both, and SHA-256 over every body would
// be most of the time a recovery takes.
func DecodeBody(p []byte) (Body, error) {
	d := &decoder{b: p}
	r := Body{Number: uint32(d.number(MaxPosition))}
	if d.bad || len(d.b) < len(r.Sum) {
		return Body{}, ErrMalformed
	}
	copy(r.Sum[:], d.b)
	r.Content = d.b[len(r.Sum):]
	return r, nil
}
