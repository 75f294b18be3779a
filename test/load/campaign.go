package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// campaign makes the messages of a run. It is immutable, so any goroutine may ask for any message.
type campaign struct {
	config Config
	date   string
	shared []byte // the body all messages have in common, longer than any message
}

func newCampaign(c Config) *campaign {
	return &campaign{
		config: c,
		date:   time.Now().Format(time.RFC1123Z),
		shared: prose(nil, rand.New(rand.NewPCG(c.Seed, 0)), c.MaxSize),
	}
}

func (c *campaign) id(n int) string { return fmt.Sprintf("%s%d", c.config.Prefix, c.config.First+n) }

// record is the record of message n before it is sent.
func (c *campaign) record(n int) Record {
	return Record{ID: c.id(n), From: c.sender(n), Rcpts: c.rcpts(n), Bulk: c.bulk(n)}
}

// sender returns the envelope sender of message n.
func (c *campaign) sender(n int) string {
	local, domain, _ := strings.Cut(c.config.From, "@")
	if !c.config.VERP {
		return c.config.From
	}
	return local + "+" + c.id(n) + "@" + domain
}

// rcpts returns the recipients of message n; no two messages share one.
func (c *campaign) rcpts(n int) []string {
	to := make([]string, c.config.Rcpts)
	for i := range to {
		k := (c.config.First+n)*c.config.Rcpts + i
		to[i] = fmt.Sprintf("user%d@%s", k, c.config.Domains[k%len(c.config.Domains)])
	}
	return to
}

// bulk reports whether message n has the header fields of a newsletter. The messages without them are spread evenly.
func (c *campaign) bulk(n int) bool {
	n += c.config.First
	return int(float64(n+1)*c.config.Plain) == int(float64(n)*c.config.Plain)
}

// headerRoom is about the size of a header. It is a constant, so that two messages of the same size share the same
// number of bytes although the lengths of their fields differ.
const headerRoom = 700

// message appends message n to dst, without stuffed dots: header, personal part, shared part.
func (c *campaign) message(dst []byte, n int) []byte {
	rng := rand.New(rand.NewPCG(c.config.Seed, uint64(c.config.First+n)+1))
	size := c.config.MinSize + rng.IntN(c.config.MaxSize-c.config.MinSize+1)
	shared := max(0, int(float64(size-headerRoom)*(1-c.config.Personal)))
	end := len(dst) + size - shared
	dst = c.header(dst, n)
	dst = fmt.Appendf(dst, "Dear reader number %d,\r\n", n)
	dst = prose(dst, rng, end-len(dst))
	if !bytes.HasSuffix(dst, []byte("\r\n")) {
		dst = append(dst, "\r\n"...)
	}
	if shared == 0 {
		return dst
	}
	dst = append(dst, c.shared[:shared]...)
	return append(bytes.TrimRight(dst, "\r\n"), "\r\n"...)
}

func (c *campaign) header(dst []byte, n int) []byte {
	id := c.id(n)
	dst = fmt.Appendf(dst, "X-Ledger: %s\r\nDate: %s\r\nMessage-ID: <%s.%d@sender.test>\r\n", id, c.date, id, c.config.Seed)
	dst = fmt.Appendf(dst, "From: Sender <news@sender.test>\r\nTo: %s\r\nMIME-Version: 1.0\r\n", c.rcpts(n)[0])
	dst = append(dst, "Content-Type: text/plain; charset=us-ascii\r\n"...)
	if !c.bulk(n) {
		return fmt.Appendf(dst, "Subject: Your new password, %s\r\n\r\n", id)
	}
	// A folded field and a field without a blank after the colon: no software on the way may change them.
	dst = fmt.Appendf(dst, "Subject:News of the week\r\nList-Unsubscribe: <mailto:off+%s@sender.test>,\r\n\t<https://sender.test/off/%s>\r\n", id, id)
	dst = append(dst, "List-Unsubscribe-Post: List-Unsubscribe=One-Click\r\nList-Id: News <news.sender.test>\r\n"...)
	return append(dst, "Feedback-ID: week:news:sender\r\nPrecedence: bulk\r\n\r\n"...)
}

var words = strings.Fields(`mill race wheel water gate stone flour sack river bank spring flood summer winter light bread
	morning road market letter paper house garden window table bridge field cloud rain snow`)

// prose appends about size bytes of words in lines, some of which begin with a dot.
func prose(dst []byte, rng *rand.Rand, size int) []byte {
	line := 0
	for end := len(dst) + size; len(dst) < end; {
		w := words[rng.IntN(len(words))]
		dst = append(append(dst, w...), ' ')
		if line += len(w) + 1; line > 66 {
			dst = append(dst[:len(dst)-1], "\r\n"...)
			if line = 0; rng.IntN(16) == 0 {
				dst = append(dst, '.')
			}
		}
	}
	return dst
}

// stuff appends message to dst as it goes over the wire, including the final dot (RFC 5321 section 4.5.2).
func stuff(dst, message []byte) []byte {
	if len(message) > 0 && message[0] == '.' {
		dst = append(dst, '.')
	}
	for {
		i := bytes.Index(message, []byte("\r\n."))
		if i < 0 {
			return append(append(dst, message...), ".\r\n"...)
		}
		dst = append(append(dst, message[:i+3]...), '.')
		message = message[i+3:]
	}
}
