package format

// maxNames bounds a table of names: mail from everywhere has no common values that are worth a table.
const maxNames = 1 << 14

// Names makes equal strings share their bytes: sender, rule and client of a campaign are the same in a million records.
// One goroutine uses it, for as long as it reads.
type Names struct{ m map[string]string }

// NewNames returns an empty table.
func NewNames() *Names { return &Names{m: make(map[string]string)} }

// Intern returns b as a string.
func (t *Names) Intern(b []byte) string {
	if len(b) == 0 {
		return ""
	}
	if s, ok := t.m[string(b)]; ok {
		return s
	}
	s := string(b)
	if len(t.m) < maxNames {
		t.m[s] = s
	}
	return s
}
