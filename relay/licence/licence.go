package licence

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Why a licence is refused. An error of Open or Check is one of these, or ErrMalformed, with the particulars.
var (
	// ErrForged: the signature is not that of the key over this payload.
	ErrForged = errors.New("forged: the signature does not fit")
	// ErrForeign: the key is not trusted, or the licence is for another server or installation.
	ErrForeign = errors.New("foreign")
	// ErrExpired: its time is over.
	ErrExpired = errors.New("expired")
	// ErrNotYet: its time has not begun.
	ErrNotYet = errors.New("not yet valid")
)

// Version is the version of the payload that this program reads and writes.
const Version = 1

// Licence is the payload: what the licensor has signed. A reader takes exactly these keys, in JSON; each may be left out unless it says
// otherwise. Numbers count recipients.
type Licence struct {
	Version  int    `json:"version"`  // must be 1
	Licensee string `json:"licensee"` // must be given: whose it is, for people
	Serial   string `json:"serial"`   // must be given: one licensor gives each once. Total counts by it

	Issued    time.Time `json:"issued"`     // must be given
	NotBefore time.Time `json:"not_before"` // must be given
	Expires   time.Time `json:"expires"`    // must be given

	Limits         // day, month, total: of the installation
	Ceiling uint64 `json:"ceiling,omitempty"` // the counter of an installation may read so much, as a licence server hands it out

	Tenants      []TenantConfig `json:"tenants,omitempty"`
	Servers      []string       `json:"servers,omitempty"`      // host names; none: any host
	Installation string         `json:"installation,omitempty"` // id of the installation, as "licence show" prints it; "": any
}

// envelope is the file.
type envelope struct {
	Payload   string `json:"payload"`   // the exact bytes that are signed, in base64
	Signature string `json:"signature"` // Ed25519 over these bytes, in base64
	Key       string `json:"key"`       // PublicKey.ID of the signer
}

// Sign returns the file of a licence. It ends with a line break.
func (l Licence) Sign(key PrivateKey) ([]byte, error) {
	if err := l.validate(); err != nil {
		return nil, err
	}
	payload, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(envelope{
		Payload:   base64.StdEncoding.EncodeToString(payload),
		Signature: base64.StdEncoding.EncodeToString(key.sign(payload)),
		Key:       key.Public().ID(),
	}, "", "  ")
	if len(text) >= MaxFile {
		return nil, ErrLarge
	}
	return append(text, '\n'), err
}

// Open reads the file of a licence and checks that a trusted key has signed it. The payload is looked at only when the signature fits.
// Open does not look at time or place: see Check.
func Open(text []byte, trusted []PublicKey) (l Licence, err error) {
	var e envelope
	if len(text) > MaxFile {
		return l, ErrLarge
	}
	if err := decode(text, &e); err != nil {
		return l, err
	}
	payload, err := unbase64(e.Payload)
	signature, err2 := unbase64(e.Signature)
	if err := errors.Join(err, err2); err != nil || len(signature) != ed25519.SignatureSize {
		return l, fmt.Errorf("%w: payload and signature are not base64 in its exact form", ErrMalformed)
	}
	i := slices.IndexFunc(trusted, func(k PublicKey) bool { return k.ID() == e.Key })
	switch {
	case i < 0:
		return l, fmt.Errorf("%w: allowance.licence_keys has no key %q", ErrForeign, cut(e.Key))
	case !ed25519.Verify(trusted[i].key, payload, signature):
		return l, ErrForged
	}
	if err := decode(payload, &l); err != nil {
		return Licence{}, err
	}
	if err := l.validate(); err != nil {
		return Licence{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return l, nil
}

// maxWord bounds the words of a licence, which stand in log lines.
const maxWord = 200

func (l Licence) validate() error {
	if l.Version != Version {
		return fmt.Errorf("version %d is not %d, which this program reads", l.Version, Version)
	}
	for name, word := range map[string]string{"licensee": l.Licensee, "serial": l.Serial} {
		if word == "" || len(word) > maxWord || strings.ContainsFunc(word, unprintable) {
			return fmt.Errorf("%s: %q is no word of 1 to %d printable characters", name, cut(word), maxWord)
		}
	}
	switch {
	case l.Issued.IsZero() || l.NotBefore.IsZero() || l.Expires.IsZero():
		return errors.New("issued, not_before and expires must all be given")
	case !l.Expires.After(l.NotBefore):
		return errors.New("it expires before it begins")
	case !l.any() && l.Ceiling == 0 && len(l.Tenants) == 0:
		return errors.New("it allows nothing: give one of day, month and total")
	case l.Ceiling > MaxLimit:
		return fmt.Errorf("ceiling: %d is more than %d", l.Ceiling, uint64(MaxLimit))
	case len(l.Tenants) > MaxTenants || len(l.Servers) > MaxTenants:
		return fmt.Errorf("more than %d tenants or servers", MaxTenants)
	}
	return errors.Join(l.Limits.validate(), validateTenants(l.Tenants))
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// Check says whether the licence holds at a time, on this host, in this installation. Names of hosts are compared without case.
func (l Licence) Check(now time.Time, hostname, installation string) error {
	if err := l.place(hostname, installation); err != nil {
		return err
	}
	switch {
	case now.Before(l.NotBefore):
		return fmt.Errorf("%w: it begins at %s", ErrNotYet, l.NotBefore.Format(time.RFC3339))
	case !now.Before(l.Expires):
		return fmt.Errorf("%w: it ended at %s", ErrExpired, l.Expires.Format(time.RFC3339))
	}
	return nil
}

// place is the part of Check that does not look at the time. An installation that is not known yet is none of another's.
func (l Licence) place(hostname, installation string) error {
	here := func(server string) bool { return strings.EqualFold(server, hostname) }
	switch {
	case len(l.Servers) > 0 && !slices.ContainsFunc(l.Servers, here):
		return fmt.Errorf("%w: it is for %s, and this host is %s", ErrForeign, strings.Join(l.Servers, ", "), hostname)
	case l.Installation != "" && l.Installation != installation:
		return fmt.Errorf("%w: it is for the installation %s, and this one is %s", ErrForeign, cut(l.Installation), installation)
	}
	return nil
}
