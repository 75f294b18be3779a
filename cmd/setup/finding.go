package setup

import "fmt"

// Severity says how much a Finding matters.
type Severity uint8

// The severities.
const (
	Note    Severity = iota // nothing is wrong; the administrator should know it
	Warning                 // Millrace undoes something that the administrator has decided, or works badly
	Error                   // mail is lost, refused or doubled, or nothing works
)

var severityNames = [...]string{"note", "warning", "error"}

// String is the severity in lower case.
func (s Severity) String() string { return severityNames[s] }

// MarshalText writes the severity's name.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads a severity's name.
func (s *Severity) UnmarshalText(text []byte) error {
	for i, name := range severityNames {
		if name == string(text) {
			*s = Severity(i)
			return nil
		}
	}
	return fmt.Errorf("%q is no severity", text)
}

// Place is a setting that a Finding is about.
type Place struct {
	Setting string `json:"setting"`          // where it stands, like "main.cf: content_filter"
	Value   string `json:"value,omitempty"`  // as it stands there, $names expanded
	Detail  string `json:"detail,omitempty"` // what was seen behind it, in a table for instance
}

// Finding is one trouble. Its JSON keys are for scripts.
type Finding struct {
	Code     string   `json:"code"` // stable
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`   // what would happen
	Action   string   `json:"action"` // the repair
	Places   []Place  `json:"places"` // one at least
}
