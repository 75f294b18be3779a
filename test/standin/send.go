package standin

import (
	"strings"
	"time"
)

// Send offers one message and returns the filter's verdict. Several messages may follow each other on one connection.
// After an error the connection is out of step and must be closed.
func (c *Conn) Send(m *Message) (Verdict, error) {
	v := Verdict{Action: Continue}
	if c.passed {
		return Verdict{Action: Accept, Stage: Connect}, nil
	}
	done, err := c.envelope(&v, m)
	if err == nil && !done && m.StopAt != Header {
		err = c.content(&v, m)
	}
	if err != nil {
		return v, err
	}
	v.noteEmptied(m)
	if c.opts.Flavor == Postfix || m.StopAt != 0 {
		err = c.Reset()
	}
	return v, err
}

// event is a command of a message.
type event struct {
	code    byte
	noReply uint32
	rcpt    *Recipient
}

// tell sends a command with its macros, and reads the reply unless none is due. It reports whether the filter has
// decided about the message.
func (c *Conn) tell(v *Verdict, m *Message, e event, payload ...byte) (done bool, err error) {
	c.buf = c.appendMacros(c.buf[:0], e.code, m, e.rcpt)
	c.buf = AppendFrame(c.buf, e.code, payload...)
	if _, err := c.out.Write(c.buf); err != nil {
		return false, err
	}
	if e.noReply != 0 && c.steps&e.noReply != 0 {
		return false, nil
	}
	if err := c.reply(v, e.code); err != nil {
		return false, err
	}
	return v.Action != Continue && v.Action != Skip, nil
}

func (c *Conn) envelope(v *Verdict, m *Message) (done bool, err error) {
	if c.steps&NoMail == 0 {
		payload := CStrings(append([]string{"<" + m.From + ">"}, m.MailArgs...)...)
		if done, err := c.tell(v, m, event{code: Mail, noReply: NoMailReply}, payload...); done || err != nil {
			return done, err
		}
	}
	if c.steps&NoRcpt != 0 || m.StopAt == Rcpt {
		return m.StopAt == Rcpt, nil
	}
	for i := range m.Rcpts {
		r := &m.Rcpts[i]
		done, err := c.tell(v, m, event{Rcpt, NoRcptReply, r}, CStrings(append([]string{r.path()}, r.Args...)...)...)
		if err != nil {
			return false, err
		}
		switch v.Action {
		case Reject, Tempfail, ReplyCode: // for this recipient only
			v.Rejected = append(v.Rejected, i)
			v.Action, v.Stage = Continue, 0
		default:
			if done {
				return true, nil
			}
		}
	}
	if c.steps&NoData == 0 && c.opts.Version > 3 {
		return c.tell(v, m, event{code: Data, noReply: NoDataReply})
	}
	return false, nil
}

func (c *Conn) content(v *Verdict, m *Message) error {
	if done, err := c.header(v, m); done || err != nil || m.StopAt == Body {
		return err
	}
	for body := m.Body; len(body) > 0 && c.steps&NoBody == 0; {
		n := min(len(body), c.opts.ChunkSize)
		if done, err := c.tell(v, m, event{code: Body, noReply: NoBodyReply}, body[:n]...); done || err != nil {
			return err
		}
		v.Sent += n
		body = body[n:]
	}
	if m.StopAt == EndOfBody {
		return nil
	}
	_, err := c.tell(v, m, event{code: EndOfBody})
	return err
}

func (c *Conn) header(v *Verdict, m *Message) (done bool, err error) {
	for _, f := range m.Header {
		if c.steps&NoHeaders != 0 {
			break
		}
		value := f.Value
		if c.steps&LeadingSpace == 0 {
			value = strings.TrimPrefix(value, " ")
		}
		if done, err := c.tell(v, m, event{code: Header, noReply: NoHeaderReply}, CStrings(f.Name, value)...); done || err != nil {
			return done, err
		}
	}
	if c.steps&NoEOH != 0 {
		return false, nil
	}
	done, err = c.tell(v, m, event{code: EndOfHeader, noReply: NoEOHReply})
	c.headed = time.Now()
	return done, err
}
