package relay

import "bytes"

var messageIDField = []byte("message-id:")

// MessageID is what the header's Message-ID field has between its angle brackets (RFC 5322 section 3.6.4), or all of its text when it
// has none; nil without the field, and once the message is divided: to look for it then would cost a join. The bytes are those of the
// letter and must not be changed.
func (c *Content) MessageID() []byte {
	if c.letter == nil {
		return nil
	}
	for rest := c.letter.Header; len(rest) > 0; {
		line := rest
		if end := bytes.IndexByte(rest, '\n'); end >= 0 {
			line = rest[:end+1]
		}
		if isMessageID(line) {
			return bracketed(field(rest)[len(messageIDField):])
		}
		rest = rest[len(line):]
	}
	return nil
}

// isMessageID reports whether a line begins the field. Most lines are told by their first letter.
func isMessageID(line []byte) bool {
	return len(line) > len(messageIDField) && line[0]|0x20 == 'm' && bytes.EqualFold(line[:len(messageIDField)], messageIDField)
}

// field is the field at the beginning of a header, with the lines that it is folded into (RFC 5322 section 2.2.3).
func field(header []byte) []byte {
	for end := 0; ; {
		n := bytes.IndexByte(header[end:], '\n')
		if n < 0 {
			return header
		}
		if end += n + 1; end == len(header) || header[end] != ' ' && header[end] != '\t' {
			return header[:end]
		}
	}
}

// bracketed is what stands between angle brackets, or all of the text when there are none.
func bracketed(text []byte) []byte {
	if from := bytes.IndexByte(text, '<'); from >= 0 {
		if n := bytes.IndexByte(text[from:], '>'); n > 0 {
			text = text[from+1 : from+n]
		}
	}
	return bytes.TrimSpace(text)
}
