package standin

import (
	"encoding/binary"
	"fmt"
	"io"
)

// Commands of the MTA.
const (
	Negotiate   byte = 'O'
	Macro       byte = 'D'
	Connect     byte = 'C'
	Helo        byte = 'H'
	Mail        byte = 'M'
	Rcpt        byte = 'R'
	Data        byte = 'T'
	Header      byte = 'L'
	EndOfHeader byte = 'N'
	Body        byte = 'B'
	EndOfBody   byte = 'E'
	Abort       byte = 'A'
	Quit        byte = 'Q'
)

// Replies of the filter.
const (
	Continue  byte = 'c'
	Accept    byte = 'a'
	Discard   byte = 'd'
	Reject    byte = 'r'
	Tempfail  byte = 't'
	ReplyCode byte = 'y'
	Skip      byte = 's'
	Progress  byte = 'p'
	DelRcpt   byte = '-'
)

// Protocol steps, which the MTA offers and the filter asks for.
const (
	NoConnect     = 1 << 0
	NoHelo        = 1 << 1
	NoMail        = 1 << 2
	NoRcpt        = 1 << 3
	NoBody        = 1 << 4
	NoHeaders     = 1 << 5
	NoEOH         = 1 << 6
	NoHeaderReply = 1 << 7
	NoUnknown     = 1 << 8
	NoData        = 1 << 9
	SkipOffered   = 1 << 10
	RcptRejected  = 1 << 11
	NoConnReply   = 1 << 12
	NoHeloReply   = 1 << 13
	NoMailReply   = 1 << 14
	NoRcptReply   = 1 << 15
	NoDataReply   = 1 << 16
	NoEOHReply    = 1 << 18
	NoBodyReply   = 1 << 19
	LeadingSpace  = 1 << 20

	allSteps = 1<<21 - 1
)

// Actions, which the MTA offers and the filter asks for.
const (
	ActDelRcpt    = 1 << 3
	ActSetSymList = 1 << 8

	allActions = 1<<9 - 1
)

// maxReply bounds a frame of the filter, in bytes.
const maxReply = 1 << 20

// AppendFrame appends a frame: length, command, payload.
func AppendFrame(dst []byte, code byte, payload ...byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(payload)+1))
	return append(append(dst, code), payload...)
}

// ReadFrame reads one frame.
func ReadFrame(r io.Reader) (code byte, payload []byte, err error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n == 0 || n > maxReply {
		return 0, nil, fmt.Errorf("frame of %d bytes from the filter", n)
	}
	if n == 1 {
		return head[4], nil, nil
	}
	payload = make([]byte, n-1)
	_, err = io.ReadFull(r, payload)
	return head[4], payload, err
}

// CString is s with its terminator.
func CString(s string) []byte { return append([]byte(s), 0) }

// CStrings are several strings with their terminators, one after the other.
func CStrings(s ...string) []byte {
	var b []byte
	for _, x := range s {
		b = append(append(b, x...), 0)
	}
	return b
}
