package dns

import (
	"time"

	mdns "github.com/miekg/dns"
)

// Kind is one way of misbehaving.
type Kind int

const (
	// Slow answers truthfully, after Fault.Delay.
	Slow Kind = iota
	// ServFail answers SERVFAIL, as a validating server does for bogus data.
	ServFail
	// Refused answers REFUSED.
	Refused
	// FormErr answers FORMERR.
	FormErr
	// NoEDNS answers FORMERR to queries with an OPT record, as servers older
	// than EDNS do.
	NoEDNS
	// HeaderOnly answers REFUSED with the bare 12 bytes of a header, as some
	// public servers do.
	HeaderOnly
	// NXDomain denies that the name exists.
	NXDomain
	// Referral answers as a server that does not recurse, with nothing but a
	// list of other servers.
	Referral
	// Timeout never answers.
	Timeout
	// Truncated sets TC and leaves the answer out, over UDP only.
	Truncated
	// TruncatedAlways sets TC over UDP and closes the connection over TCP.
	TruncatedAlways
	// Garbage sends bytes that are no DNS message; over TCP, a message that
	// ends too early.
	Garbage
	// WrongID answers truthfully under another message id.
	WrongID
	// WrongName answers under the right id to a question that was not asked,
	// and denies the name.
	WrongName
	// Bare answers a CNAME without following it.
	Bare
)

// Fault says how the answers to a name go wrong.
type Fault struct {
	// Kind is what happens.
	Kind Kind
	// Type limits the fault to one record type ("MX", "A"); empty is all.
	Type string
	// Times limits the fault to that many queries; 0: no limit.
	Times int
	// Delay is waited before the answer, with every Kind.
	Delay time.Duration
	// Then sends the true answer after the false one, as if a forger had been
	// faster than the server. It is for Garbage, WrongID and WrongName over
	// UDP.
	Then bool
}

// covers reports whether the fault applies to a query type.
func (f *Fault) covers(qtype uint16) bool {
	return f.Type == "" || mdns.StringToType[f.Type] == qtype
}

// reply is the reaction to one query: first the raw bytes (nil: none), then
// the message (nil: none); or, with hang, the end of the connection.
type reply struct {
	raw  []byte
	msg  *mdns.Msg
	hang bool
}

// distort turns the true answer into the faulty one.
func (f *Fault) distort(truth *mdns.Msg, udp bool) reply {
	switch f.Kind {
	case ServFail:
		return coded(truth, mdns.RcodeServerFailure)
	case Refused:
		return coded(truth, mdns.RcodeRefused)
	case FormErr:
		return coded(truth, mdns.RcodeFormatError)
	case NXDomain:
		return coded(truth, mdns.RcodeNameError)
	case NoEDNS:
		if truth.IsEdns0() != nil {
			return coded(truth, mdns.RcodeFormatError)
		}
	case HeaderOnly:
		r := coded(truth, mdns.RcodeRefused)
		r.msg.Question = nil
		return r
	case Referral:
		return referral(truth)
	case Timeout:
		return reply{}
	case Truncated, TruncatedAlways:
		return f.truncated(truth, udp)
	case Garbage, WrongID, WrongName:
		return f.forged(truth, udp)
	}
	return reply{msg: truth}
}

// coded is an empty answer with a response code.
func coded(truth *mdns.Msg, rcode int) reply {
	truth.Rcode = rcode
	truth.Answer, truth.Ns = nil, nil
	return reply{msg: truth}
}

// referral is an answer that only names other servers.
func referral(truth *mdns.Msg) reply {
	truth.Rcode = mdns.RcodeSuccess
	truth.RecursionAvailable = false
	truth.Answer = nil
	truth.Ns = []mdns.RR{&mdns.NS{
		Hdr: mdns.RR_Header{Name: ".", Rrtype: mdns.TypeNS, Class: mdns.ClassINET, Ttl: defaultTTL},
		Ns:  "ns.invalid.",
	}}
	return reply{msg: truth}
}

// truncated asks the client to come back over TCP.
func (f *Fault) truncated(truth *mdns.Msg, udp bool) reply {
	switch {
	case udp:
		truth.Truncated = true
		truth.Answer, truth.Ns = nil, nil
	case f.Kind == TruncatedAlways:
		return reply{hang: true}
	}
	return reply{msg: truth}
}

// forged is a message that the client must not believe.
func (f *Fault) forged(truth *mdns.Msg, udp bool) reply {
	r := reply{raw: f.lie(truth)}
	if f.Then && udp {
		r.msg = truth
	}
	return r
}

// lie packs the false message of a forger.
func (f *Fault) lie(truth *mdns.Msg) []byte {
	m := truth.Copy()
	switch f.Kind {
	case WrongID:
		m.Id++
	case WrongName:
		m.Question[0].Name = "forged." + m.Question[0].Name
		m.Rcode, m.Answer = mdns.RcodeNameError, nil
	}
	raw, err := m.Pack()
	if err != nil || f.Kind == Garbage {
		return append([]byte{byte(truth.Id >> 8), byte(truth.Id), 0x81, 0x80}, "no such message"...)
	}
	return raw
}
