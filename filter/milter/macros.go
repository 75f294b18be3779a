package milter

import (
	"bytes"
	"errors"
	"strings"
)

// stageOrder lists the commands macros are sent for, in the order of a dialogue.
const stageOrder = "CHMRTLNBE"

var errMacroFrame = errors.New("malformed macro frame")

// macros are the macros of each stage, as the MTA sent them: pairs of C strings. Only those that were asked for are kept:
// an MTA may send others by its own configuration, and a peer that is no MTA may send anything.
type macros struct {
	wanted []string // names without braces
	stages [len(stageOrder)]stage
}

// maxMacros is how many bytes of macros are kept for one stage. The longest values are names of hosts and users, of 255
// bytes at most.
const maxMacros = 4 << 10

// errMacrosFull is returned when the macros that were asked for do not fit.
var errMacrosFull = errors.New("macros of more than 4096 bytes")

// memory is how many bytes the macros hold.
func (m *macros) memory() int {
	n := 0
	for i := range m.stages {
		n += cap(m.stages[i].raw)
	}
	return n
}

// stage is one packet. A packet is valid for the next command of its stage. If that command comes again without a new
// packet, the old values are dropped.
type stage struct {
	raw   []byte
	fresh bool // no command has come since
}

// store keeps the payload of a macro frame: the code of the command that the packet is for, then the pairs.
func (m *macros) store(payload []byte) error {
	if len(payload) == 0 {
		return errMacroFrame
	}
	code, raw := payload[0], payload[1:]
	if len(raw) > 0 && raw[len(raw)-1] != 0 {
		return errMacroFrame
	}
	i := strings.IndexByte(stageOrder, code)
	if i < 0 {
		return nil // for a command that we never see
	}
	s := &m.stages[i]
	s.fresh = true
	if bytes.Equal(s.raw, raw) { // Postfix says the same before every header field
		return nil
	}
	s.raw = s.raw[:0]
	for len(raw) > 0 {
		pair := raw
		var key []byte
		key, raw = cutString(raw)
		_, raw = cutString(raw)
		if !m.wants(key) {
			continue
		}
		if pair = pair[:len(pair)-len(raw)]; len(s.raw)+len(pair) > maxMacros {
			return errMacrosFull
		}
		s.raw = append(s.raw, pair...)
	}
	return nil
}

func (m *macros) wants(key []byte) bool {
	name := trimBraces(key)
	for _, w := range m.wanted {
		if w == string(name) {
			return true
		}
	}
	return false
}

// startCommand is called for each command. MAIL drops the packets of all later stages: they told of another message.
func (m *macros) startCommand(code byte) {
	i := strings.IndexByte(stageOrder, code)
	if i < 0 {
		return
	}
	m.stages[i].expire()
	if code == 'M' {
		for k := i + 1; k < len(m.stages); k++ {
			m.stages[k].fresh = false
			m.stages[k].expire()
		}
	}
}

func (s *stage) expire() {
	if !s.fresh {
		s.raw = s.raw[:0]
	}
	s.fresh = false
}

// lookup returns the newest value of a macro, or "". The name has no braces.
func (m *macros) lookup(name string) string { return string(m.value(name)) }

// value is lookup without a string of its own. It is valid until the next packet.
func (m *macros) value(name string) []byte {
	for i := len(m.stages) - 1; i >= 0; i-- {
		if v, ok := find(m.stages[i].raw, name); ok {
			return v
		}
	}
	return nil
}

// sentWith returns the value that a macro had at one command, or nil. It is valid until the next packet.
func (m *macros) sentWith(code byte, name string) []byte {
	v, _ := find(m.stages[strings.IndexByte(stageOrder, code)].raw, name)
	return v
}

// find looks for a name in pairs of C strings. MTAs write a name with or without braces. A last name without a value has
// the empty value.
func find(raw []byte, name string) (value []byte, ok bool) {
	for len(raw) > 0 {
		var key []byte
		key, raw = cutString(raw)
		value, raw = cutString(raw)
		if string(trimBraces(key)) == name {
			return value, true
		}
	}
	return nil, false
}

// cutString cuts the first C string off.
func cutString(raw []byte) (s, rest []byte) {
	if i := bytes.IndexByte(raw, 0); i >= 0 {
		return raw[:i], raw[i+1:]
	}
	return raw, nil
}

// same returns value as a string: the old one where that is equal, as from message to message most values are.
func same(old string, value []byte) string {
	if string(value) == old {
		return old
	}
	return string(value)
}

func trimBraces(key []byte) []byte {
	if n := len(key); n >= 2 && key[0] == '{' && key[n-1] == '}' {
		return key[1 : n-1]
	}
	return key
}

var nul = []byte{0}
