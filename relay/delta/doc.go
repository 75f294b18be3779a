// Package delta splits a message into what it shares with a reference, an earlier message of its campaign, and a small part of
// its own. View and part make the message again, byte for byte.
//
//	s.Read(message)                      // makes the view of the message, once
//	view, part := s.View()               // the message as a reference of its own
//	r := delta.NewReference(view)
//
//	s.Read(another)
//	r.Likeness(&s)                       // which of several references fits best?
//	part, ok := r.Split(&s, most)        // at most so many bytes, or not at all
//
//	pieces, err := delta.Join(view, part, limit, &s)
//	err = delta.Fits(view, part, &s)     // would Join make a message? in less time
//
// # View
//
// A personal name in a text shifts all base64 behind it, and all soft line breaks of quoted-printable up to the next hard one.
// So a message is compared by its view: the message with base64 decoded and soft breaks taken out, where a coder can put back
// what was there. What no coder can put back, and parts over 256 KB, stay as they are. Coders are named by number in the part.
// How a view is made may therefore change at any time: what a part means depends on the bytes of view and part alone.
//
// # Delta
//
// Split goes over view and reference at once, 8 bytes at a time. Where they differ it looks for one of the last literals, with the
// same way on behind it. Else it goes on at the next 8 bytes that they have in common: at the same distance as before, or else
// where the index of the reference has them, if they stand in the reference once; from there it goes back as far as both are
// equal. At another distance 10 bytes must be equal, and in a long literal 4 at the same one are enough: the fold of a signature.
// The index knows every second place, in 4 bytes for each byte of the view at most. It is made at the first Split, and can be
// dropped.
//
// What is in the message only is a literal. A literal that comes again is a number, one with a piece of earlier ones says
// where, and long runs of hex digits or base64 take 4 or 6 bits a character: a personal id stands in each link, a boundary in
// four places, and a DKIM signature has 344 characters for 256 bytes.
//
// A part is checked before it is given away, in two steps that are together worth a Join. Read lets the coders break the lines of
// the view, and sees that they do it where the message has them broken; of base64 it decodes only what the coder writes in the
// same way. Split reads the part as Join does, and compares what it says of the coders, and each byte that its ops make, with
// what Read has found. View joins the whole message and compares: a campaign needs it a few times only.
//
// Join checks all that it reads: a part from a damaged disk gives an error or a message that is not larger than the caller's
// limit. It is up to the caller to find out, by a sum, that it is a wrong one.
//
// # Costs
//
// All is linear in the message, whatever its bytes: Read looks at each byte a dozen times at most, an index has 1,048,573 entries
// at most, and Split ends when the part is sure to be too large. A Scratch allocates nothing once it is warm, and keeps some MB
// at most. The tables of base64 take 136 KB, once.
//
// # The format of a part
//
// A number is unsigned, of 7 bits a byte, the lowest first, the highest bit set in all bytes but the last; at most 2^30-1. A
// shift is a number whose lowest bit is the sign: 0, -1, 1, -2, ... are 0, 1, 2, 3, ...
//
//	form         1 byte    1
//	size         number    bytes of the message
//	stretches    number    how many there are
//	  before     number    bytes of the message's view since the last stretch, which are in the message as they are
//	  coder      1 byte    see below
//	  width      1 byte    of a line; base64: a quarter of it; places: 0
//	  size       number    bytes of the view that go through the coder; not 0
//	  places               only if the coder is 6: a number of bytes, and so many bytes of numbers
//	ops          up to the end of the part
//
// The ops make the view of the message, one behind the other. Each is a literal and then a copy, of which one may be missing:
//
//	token        1 byte    bits 7-4: the literal; bit 3: a shift follows; bits 2-0: c, 0 if there is no copy
//	literal                see below
//	shift        shift     only if bit 3 is set: how far from the expected place of the reference the copy begins
//	copy         number n  only if c is not 0: 7n+c bytes of the reference
//
// A copy is expected where the last one ended, or at 0, plus the bytes of the literals since then: a personal field is replaced
// by one of the same length. The upper four bits of a token:
//
//	0            no literal
//	1 to 6       so many bytes follow
//	7            a number n follows, and n+7 bytes
//	8            a packed literal follows
//	9 to 15      the latest to the seventh latest literal once more; it is the latest then
//
// Literals over 512 bytes do not count as such later, and are never packed. All others, but for those of 9 to 15, make up the
// text of the part, one behind the other. A packed literal is some bytes as they are, and then a run:
//
//	head         1 byte    bits 7-5: the kind of the run; bits 4-0: p
//	back         number    only for kind 5: where the run begins, counted from the end of the text without this literal
//	length       number    of the run; not for kind 4
//	bytes        p         as they are
//	run                    kinds 0 and 1: hex digits, of 4 bits each, lower or upper case; kinds 2 and 3: 6 bits each, in the
//	                       alphabet of base64 (RFC 4648, section 4) or of its URL form (section 5); kind 4: the 16 bytes of a
//	                       UUID in lower case; kind 5: nothing, the run is in the text. High bits come first, the last byte
//	                       is filled up with zeros.
//
// The coders:
//
//	1 base64     lines of 4×width characters, CRLF behind each; the last may be shorter
//	2 fill       soft breaks "=CRLF": a line takes width bytes, but does not end within an encoded byte "=E4"
//	3 UTF-8      as 2; also, a line ends before a "=" whose two digits begin a UTF-8 character for which 3, 6, 9 or 12 bytes are
//	             not left in the width
//	4 tail       as 2; but what is left of a hard line stays whole if it has width+1 bytes and does not end in an encoded byte
//	5 words      a line takes what is left of a hard line if that has width-2 bytes at most; else it ends behind the last of
//	             " \t.,!?" in the last third of its width, width-1 bytes at most; if there is none it is full, but ends neither
//	             within an encoded byte nor behind one of 80 to FF: before these, back to the one that is C0 or more
//	6 places     each number tells how many bytes stand before the next soft break, counted from the last
//
// Coders 2 to 5 begin anew behind each LF; CRLF and LF end a hard line and do not count. A coder's width is at least 16, and
// that of base64 at least 1.
package delta
