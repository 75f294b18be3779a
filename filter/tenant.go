package filter

import (
	"errors"
	"fmt"
	"strings"

	"github.com/millrace/millrace/relay"
)

// MaxTenants is how many tenants there may be. Each is asked about each message that is taken.
const MaxTenants = 1000

// TenantConfig is a [[tenant]] table: whose mail it is, and what the heart does about it. Every condition that is given must
// hold. Patterns are those of Rule.
type TenantConfig struct {
	relay.TenantConfig `toml:",inline"` // name, weight, connections, rate, sources

	SASLUser string `toml:"sasl_user"` // the name the client logged in with
	Sender   string `toml:"sender"`    // envelope sender
	Header   string `toml:"header"`    // the message has a field of this name
	Value    string `toml:"value"`     // and the unfolded value of such a field contains this RE2 pattern, case aside
	Client   string `toml:"client"`    // address, network, or pattern for the verified name
	Listener string `toml:"listener"`  // {daemon_name}, or the port the client connected to
}

// SetDefaults gives a table the values that it need not have.
func (c *TenantConfig) SetDefaults() { c.Weight = 1 }

func (c TenantConfig) condition() condition {
	return condition{
		of: "tenant", header: c.Header, value: c.Value, sender: c.Sender, client: c.Client, login: c.SASLUser, listener: c.Listener,
	}
}

// ValidateTenants returns what is wrong, joined: each error names its key, as "tenant[1].sender", and how to repair it. It does
// not judge what tables must agree about: that no two tenants have one name, and that sources exist.
func ValidateTenants(tenants []TenantConfig) error {
	var errs []error
	if len(tenants) > MaxTenants {
		errs = append(errs, fmt.Errorf("tenant: %d tables are more than %d; join some by a pattern", len(tenants), MaxTenants))
	}
	for i, c := range tenants {
		if err := c.validate(); err != nil {
			errs = append(errs, fmt.Errorf("tenant[%d].%w", i, err))
		}
	}
	return errors.Join(errs...)
}

// maxTenantName is the length of a tenant's name, which stands in each line of a list.
const maxTenantName = 64

func (c TenantConfig) validate() error {
	switch {
	case c.Name == "":
		return fmt.Errorf(`name: is empty, and limits and lists name the tenant by it; give one, like "acme"`)
	case strings.ContainsFunc(c.Name, notInName):
		return fmt.Errorf("name: %q has characters that do not fit in a log line; write it like %q", c.Name, fitName(c.Name))
	case len(c.Name) > maxTenantName:
		return fmt.Errorf("name: has %d characters; write at most %d", len(c.Name), maxTenantName)
	case c.condition().empty():
		return fmt.Errorf("sasl_user: the tenant has no condition; give one of sasl_user, sender, header, client, listener")
	case c.Weight == 0: // the heart takes it for 1, and nobody who writes it means that
		return fmt.Errorf("weight: is 0, and each tenant has turns; write 1 or more")
	}
	if err := c.TenantConfig.Validate(); err != nil {
		return err
	}
	return c.condition().validate()
}

// Tenants tell whose mail a message is. They are immutable; any number of sessions may share them. The nil Tenants know nobody.
type Tenants struct {
	list    []tenant
	byField fieldIndex // the tenants that look at a header field
}

type tenant struct {
	matcher
	name string
}

// CompileTenants makes Tenants of the [[tenant]] tables, in their order.
func CompileTenants(tenants []TenantConfig) (*Tenants, error) {
	if err := ValidateTenants(tenants); err != nil {
		return nil, err
	}
	t := &Tenants{}
	for i, c := range tenants {
		m, err := c.condition().compile()
		if err != nil {
			return nil, fmt.Errorf("tenant[%d].%w", i, err)
		}
		t.list = append(t.list, tenant{m, c.Name})
		t.byField.add(m.header, i)
	}
	return t, nil
}

// owner is the name of the first tenant whose conditions all hold, or "". header is as Filter.Decide has it.
func (t *Tenants) owner(o *Offer, header []byte) string {
	if t == nil {
		return ""
	}
	first := 0
	for first < len(t.list) && (t.list[first].header != nil || !t.list[first].offered(o)) {
		first++
	}
	if !t.byField.empty() {
		first = t.firstByHeader(o, header, first)
	}
	if first == len(t.list) {
		return ""
	}
	return t.list[first].name
}

// firstByHeader is the first tenant before that one whose conditions hold, the header's included, else that one.
func (t *Tenants) firstByHeader(o *Offer, header []byte, before int) int {
	for name, value := range Fields(header) {
		for i := range t.byField.lookingAt(name) {
			if i < before && t.list[i].offered(o) && t.list[i].header.fits(value) {
				before = i
			}
		}
	}
	return before
}

// Covers reports that every message of other is one of c too: behind c, other never has a message. It is false where that
// cannot be told from the patterns.
func (c TenantConfig) Covers(other TenantConfig) bool {
	return coversPattern(c.Sender, other.Sender, true, senderPattern) &&
		coversPattern(c.SASLUser, other.SASLUser, false, newPattern) &&
		coversPattern(c.Listener, other.Listener, true, newPattern) &&
		(coversPattern(c.Client, other.Client, true, newPattern) || coversNetwork(c.Client, other.Client)) &&
		coversHeader(c, other)
}

// coversPattern reports that what fits other fits wide as well. total says that "*" stands for every message: it does not
// for a login, which a client need not have. A "?" in wide might stand for a "*" of other, which says more, so such a pattern
// covers its equal only.
func coversPattern(wide, other string, total bool, made func(string) pattern) bool {
	switch {
	case wide == "" || total && strings.Trim(wide, "*") == "":
		return true
	case other == "":
		return false
	}
	w, o := made(wide), made(other)
	return w == o || !strings.Contains(string(w), "?") && w.match(string(o))
}

// coversNetwork reports that other is an address or a network within wide.
func coversNetwork(wide, other string) bool {
	w, ok := network(wide)
	o, ok2 := network(other)
	return ok && ok2 && w.Bits() <= o.Bits() && w.Contains(o.Addr())
}

func coversHeader(c, other TenantConfig) bool {
	if c.Header == "" {
		return true
	}
	field := lower(c.Header) == lower(other.Header)
	if prefix, wild := strings.CutSuffix(lower(c.Header), "*"); wild && other.Header != "" {
		field = strings.HasPrefix(lower(other.Header), prefix)
	}
	return field && (c.Value == "" || c.Value == other.Value)
}
