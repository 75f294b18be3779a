package milter

import (
	"errors"
	"strings"

	"github.com/millrace/millrace/filter"
)

var errNoTerminator = errors.New("string without its terminating NUL")

// parseCommand takes the payload of a MAIL or RCPT frame apart: the path, then each parameter as a C string. Some
// builds of Sendmail put the parameters behind the path, with a space. The library keeps only the path, but the
// parameters carry the sender's wish for delivery reports and for UTF-8.
func parseCommand(payload []byte) (filter.Command, error) {
	if len(payload) == 0 || payload[len(payload)-1] != 0 {
		return filter.Command{}, errNoTerminator
	}
	first, rest, more := strings.Cut(string(payload[:len(payload)-1]), "\x00")
	c := filter.ParseCommand(first)
	for more {
		var param string
		param, rest, more = strings.Cut(rest, "\x00")
		c.Params = append(c.Params, param)
	}
	return c, nil
}
