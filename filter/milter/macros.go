package milter

import (
	"bytes"
	"errors"
	"strings"
)

// stageOrder lists the commands macros are sent for, in the order of a dialogue.
const stageOrder = "CHMRTLNBE"

var errMacroFrame = errors.New("malformed macro frame")

// macros are the macros of each stage, as the MTA sent them: pairs of C strings. They are looked at when somebody asks:
// Postfix sends a packet of them before every header field, and nearly all of them are never read.
type macros struct {
	stages [len(stageOrder)]stage
}

// stage is one packet. It belongs to the next command of its stage and is stale after that when that command comes
// again without a packet of its own.
type stage struct {
	raw   []byte
	fresh bool
}

// store keeps the payload of a macro frame: the command it is for, then the pairs.
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
		return nil // of a command that is none of ours
	}
	m.stages[i].raw = append(m.stages[i].raw[:0], raw...)
	m.stages[i].fresh = true
	return nil
}

// begin is called for each command. At MAIL the later stages are forgotten: they told of another message.
func (m *macros) begin(code byte) {
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
func (m *macros) lookup(name string) string {
	for i := len(m.stages) - 1; i >= 0; i-- {
		if v, ok := find(m.stages[i].raw, name); ok {
			return v
		}
	}
	return ""
}

// at returns a macro's value at one stage, or "".
func (m *macros) at(code byte, name string) string {
	v, _ := find(m.stages[strings.IndexByte(stageOrder, code)].raw, name)
	return v
}

// find goes through pairs of C strings. MTAs write a name with or without braces; a last name without a value has the
// empty one.
func find(raw []byte, name string) (string, bool) {
	for len(raw) > 0 {
		var key, value []byte
		key, raw, _ = bytes.Cut(raw, nul)
		value, raw, _ = bytes.Cut(raw, nul)
		if string(trimBraces(key)) == name {
			return string(value), true
		}
	}
	return "", false
}

func trimBraces(key []byte) []byte {
	if n := len(key); n >= 2 && key[0] == '{' && key[n-1] == '}' {
		return key[1 : n-1]
	}
	return key
}

var nul = []byte{0}
