package format

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// DecodeOld reads into t a take record of version 1 or 2, and overwrites all of it:
//
//	4  length of the envelope: everything up to and including the recipients
//	uvarint id · uvarint base · uvarint body · byte flags · varint arrived · varint taken (Unix nanoseconds, 0 not known)
//	string queue id, from, ret, envid, class, rule (with a tenant: rule, slash, tenant), client
//	takeCopied: uvarint segment · uvarint base · uvarint count · count × uvarint recipient
//	uvarint count · count × (string address, notify, orcpt · takeNodes: uvarint node)
//	uvarint length and bytes of our trace field · rest header
//
// Shared is the number of the body, and Part is trace field and header, a part of p. Whether a copy is unheard is said by a mark.
func (t *TakeRecord) DecodeOld(p []byte, names *Names) error {
	*t = TakeRecord{Stand: Stand{Done: t.Done[:0]}, Rcpts: t.Rcpts[:0]}
	if len(p) < 4 {
		return ErrMalformed
	}
	n := binary.BigEndian.Uint32(p)
	if uint64(n) > uint64(len(p)-4) {
		return ErrMalformed
	}
	d := decode(p[4 : 4+n])
	t.decodeOldEnvelope(d, names)
	if d.Bad || len(d.Rest) > 0 {
		return ErrMalformed
	}
	rest := decode(p[4+n:])
	if trace := rest.Uvarint(); rest.Bad || trace > uint64(len(rest.Rest)) {
		return ErrMalformed
	}
	t.Part = rest.Rest
	return nil
}

func (t *TakeRecord) decodeOldEnvelope(d *decoder, names *Names) {
	t.ID = d.Uvarint()
	t.Base, t.Shared = uint32(d.UpTo(MaxPosition)), uint32(d.UpTo(MaxPosition))
	if t.flags = uint64(d.Byte()); t.flags >= oldTakeFlags {
		d.Fail()
	}
	t.EightBit, t.UTF8, t.Copied = t.flags&takeEightBit != 0, t.flags&takeUTF8 != 0, t.flags&takeCopied != 0
	t.Arrived, t.Taken = d.time(), d.time()
	t.QueueID = d.text()
	for _, s := range [...]*string{&t.From, &t.Ret, &t.EnvID, &t.Class} {
		*s = names.Intern(d.bytes())
	}
	rule, tenant, _ := bytes.Cut(d.bytes(), []byte("/"))
	t.Rule, t.Tenant, t.Client = names.Intern(rule), names.Intern(tenant), names.Intern(d.bytes())
	if t.Count = MaxPosition; t.Copied { // how many recipients there are stands behind
		t.decodeOrigin(d)
	}
	t.decodeOldRcpts(d, names)
}

func (t *TakeRecord) decodeOldRcpts(d *decoder, names *Names) {
	t.Count = d.items(3)
	if t.Count == 0 || uint64(t.Base)+uint64(t.Count) > MaxPosition {
		d.Fail()
		return
	}
	t.Rcpts = slices.Grow(t.Rcpts, t.Count)[:t.Count]
	if t.flags&takeNodes != 0 {
		t.Nodes = make([]uint32, t.Count)
	}
	for i := range t.Rcpts {
		t.Rcpts[i] = Rcpt{Addr: d.text(), Notify: names.Intern(d.bytes()), ORcpt: d.text()}
		if t.Nodes != nil {
			t.Nodes[i] = uint32(d.UpTo(uint64(i)))
		}
	}
	for _, i := range t.Done {
		if i >= t.Count {
			d.Fail()
		}
	}
}
