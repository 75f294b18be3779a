package relay

import (
	"errors"
	"math"
	"strconv"
	"strings"
)

// MessageRate is a number of messages a second. In the file it is a number for a second, minute, hour or day, such as "50/s",
// "600/m", "5000/h" or "100000/d". 0 stands for no limit.
type MessageRate float64

// rateUnits are the units, the shortest first.
var rateUnits = []struct {
	name    string
	seconds float64
}{{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}}

var errRate = errors.New(`write a number and its unit, like "50/s", "600/m", "5000/h" or "100000/d"`)

// UnmarshalText reads a rate as the file has it.
func (r *MessageRate) UnmarshalText(b []byte) error {
	number, unit, _ := strings.Cut(string(b), "/")
	if strings.Trim(number, "0123456789.") != "" {
		return errRate // no signs, exponents and infinities
	}
	n, err := strconv.ParseFloat(number, 64)
	for _, u := range rateUnits {
		if rate := n / u.seconds; u.name == unit && err == nil && rate > 0 {
			*r = MessageRate(rate)
			return nil
		}
	}
	return errRate
}

// String writes the rate with the shortest unit in which it is a whole number, and else with three digits a day.
func (r MessageRate) String() string {
	for _, u := range rateUnits {
		n := float64(r) * u.seconds
		if whole := math.Round(n); whole >= 1 && math.Abs(n-whole) < 1e-9*whole {
			return strconv.FormatFloat(whole, 'f', -1, 64) + "/" + u.name
		}
	}
	return strconv.FormatFloat(float64(r)*86400, 'g', 3, 64) + "/d"
}

// TenantRate is a MessageRate that the file may also give as a number of messages a second: that was its only form.
type TenantRate MessageRate

// UnmarshalText reads a rate as the file has it.
func (r *TenantRate) UnmarshalText(b []byte) error { return (*MessageRate)(r).UnmarshalText(b) }

// SetNumber takes a number of messages a second, which TenantConfig.Validate judges.
func (r *TenantRate) SetNumber(n float64) { *r = TenantRate(n) }

// String writes the rate as MessageRate does.
func (r TenantRate) String() string { return MessageRate(r).String() }
