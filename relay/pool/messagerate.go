package pool

import (
	"errors"
	"strconv"
	"strings"
)

// MessageRate is a number of messages a second. In the file it is a number for a second, minute, hour or day, such as "50/s",
// "600/m", "5000/h" or "100000/d". 0 stands for no limit.
type MessageRate float64

// rateUnits is how many seconds each unit has.
var rateUnits = []struct {
	name    string
	seconds float64
}{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}

var errRate = errors.New(`write a number and its unit, like "50/s", "600/m", "5000/h" or "100000/d"`)

// UnmarshalText reads a rate as the file has it.
func (r *MessageRate) UnmarshalText(b []byte) error {
	number, unit, _ := strings.Cut(string(b), "/")
	n, err := strconv.ParseFloat(number, 64)
	for _, u := range rateUnits {
		if u.name == unit && err == nil && n > 0 {
			*r = MessageRate(n / u.seconds)
			return nil
		}
	}
	return errRate
}
