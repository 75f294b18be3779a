package sink

import "bytes"

// maxEndless bounds the bytes of an Endless reply, for a client that never stops reading.
const maxEndless = 64 << 20

// play acts out a fault and reports whether the session goes on.
func (s *session) play(f *Fault) bool {
	s.l.counters.played()
	switch f.Do {
	case Reply421:
		return s.last(f.text())
	case Reply451, Reply550:
		return s.reply(f.text())
	case Garbage:
		s.out = append(append(s.out, f.text()...), "\r\n"...)
		return true
	case Endless:
		s.flood([]byte(replyCode(f.Stage) + "-and another line\r\n"))
	case EndlessLine:
		_ = s.reply(replyCode(f.Stage) + "-first line")
		s.flood([]byte("and on it goes "))
	case Silence:
		s.hush()
	case Disconnect: // earlier replies are still sent; only the reply of this stage is missing
	}
	s.abrupt = true
	return false
}

// replyCode is the code of a positive reply at the stage.
func replyCode(stage Stage) string {
	switch stage {
	case Banner, StartTLS:
		return "220"
	case Data:
		return "354"
	default:
		return "250"
	}
}

// flood writes piece again and again until the client hangs up or maxEndless is reached.
func (s *session) flood(piece []byte) {
	block := bytes.Repeat(piece, 4096/len(piece))
	for sent := 0; sent < maxEndless; sent += len(block) {
		s.out = append(s.out, block...)
		if s.flush() != nil {
			return
		}
	}
}

// hush reads and drops all that the client sends, until the client hangs up, its time is up, or the Sink closes.
func (s *session) hush() {
	for {
		s.in.r, s.in.w = 0, 0
		if s.in.fill() != nil {
			return
		}
	}
}
