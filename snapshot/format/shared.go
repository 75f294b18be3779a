package format

import "encoding/binary"

// Shared is what many messages of a segment have in common, written once: the view of their wrapper, and the strings of the first
// of them. On the disk:
//
//	uvarint number · string from, ret, envid, class, rule, tenant, campaign, client, job, notify · rest view
//
// No sum of the view stands there: the frame's checksum has vouched for it, and whoever looks for equal views compares them.
type Shared struct {
	Number uint32 // within its segment
	Common
	View []byte
}

// Common is the strings of a take that most messages of a campaign share. A take has only those that differ from the strings of its
// shared record.
type Common struct {
	From, Ret, EnvID, Class, Rule, Tenant, Campaign, Client string

	Job    string // of a merge: the campaign of which the message is a row
	Notify string // of the recipients
}

// commons is the number of strings in Common.
const commons = 10

// fields are the strings in their order on the disk.
func (c *Common) fields() [commons]*string {
	return [...]*string{&c.From, &c.Ret, &c.EnvID, &c.Class, &c.Rule, &c.Tenant, &c.Campaign, &c.Client, &c.Job, &c.Notify}
}

// Append writes the record.
func (r *Shared) Append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(r.Number))
	for _, s := range r.fields() {
		b = appendString(b, *s)
	}
	return append(b, r.View...)
}

// DecodeShared reads a shared record. View is a part of p: it is large, and needed once for many messages.
func DecodeShared(p []byte, names *Names) (Shared, error) {
	d := decode(p)
	r := Shared{Number: uint32(d.UpTo(MaxPosition))}
	for _, s := range r.fields() {
		*s = names.Intern(d.bytes())
	}
	if d.Bad {
		return Shared{}, ErrMalformed
	}
	r.View = d.Rest
	return r, nil
}

// SharedNumber reads no more than the number.
func SharedNumber(p []byte) (uint32, error) {
	d := decode(p)
	n := d.UpTo(MaxPosition)
	if d.Bad {
		return 0, ErrMalformed
	}
	return uint32(n), nil
}

// DecodeBody reads what stood in the place of a shared record up to version 2: uvarint number · 32 bytes SHA-256 of the body ·
// body. The view of such a record is an empty line and the body; View is the body alone, and a part of p.
func DecodeBody(p []byte) (Shared, error) {
	const sum = 32
	d := decode(p)
	r := Shared{Number: uint32(d.UpTo(MaxPosition))}
	if d.Bad || len(d.Rest) < sum {
		return Shared{}, ErrMalformed
	}
	r.View = d.Rest[sum:]
	return r, nil
}
