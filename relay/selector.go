package relay

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Selector says which of the mail that waits an Act is about: the mail for which every field that is set is true. The zero Selector is
// all mail, our own notifications apart: an Act is about those only when ID or Class names them.
type Selector struct {
	Domain   string        `json:"domain,omitempty"`   // of the recipients
	Site     string        `json:"site,omitempty"`     // that the domain's mail goes to, as "millrace sites" names it, or one of its hosts, or its provider
	Sender   string        `json:"sender,omitempty"`   // envelope sender: an address, a domain with or without "@", or "<>"
	Tenant   string        `json:"tenant,omitempty"`   // name of a [[tenant]]
	Campaign string        `json:"campaign,omitempty"` // FlowName.Name
	ID       string        `json:"id,omitempty"`       // the MTA's queue id or our own
	Class    string        `json:"class,omitempty"`    // ClassInject, or "remote"
	Older    time.Duration `json:"older,omitempty"`    // arrived at least so long ago
	Lane     string        `json:"lane,omitempty"`     // "urgent" or "bulk"
}

// IsZero reports whether s selects all mail.
func (s Selector) IsZero() bool { return s == Selector{} }

// selectorText bounds each text of an Act, in bytes.
const selectorText = 1 << 10

// Validate returns what cannot be in s, as an *ActError.
func (s Selector) Validate() error {
	for _, f := range s.texts() {
		if err := validText(f.key, f.text); err != nil {
			return err
		}
	}
	switch {
	case s.Older < 0:
		return &ActError{"older", s.Older.String() + " is negative"}
	case s.Class != "" && s.Class != ClassInject && s.Class != "remote":
		return &ActError{"class", `"` + s.Class + `" is no class; use "remote" or "` + ClassInject + `"`}
	case s.Lane != "" && s.Lane != "urgent" && s.Lane != "bulk":
		return &ActError{"lane", `"` + s.Lane + `" is no lane; use "urgent" or "bulk"`}
	case s.Sender == "@":
		return &ActError{"sender", `"@" is no address; "<>" is the null sender`}
	case strings.Contains(s.Domain, "@"):
		return &ActError{"domain", `"` + s.Domain + `" is an address; give what follows its "@"`}
	}
	return nil
}

// selectorField is one text of a Selector.
type selectorField struct{ key, text string }

func (s Selector) texts() []selectorField {
	return []selectorField{
		{"domain", s.Domain}, {"site", s.Site}, {"sender", s.Sender}, {"tenant", s.Tenant}, {"campaign", s.Campaign}, {"id", s.ID},
		{"class", s.Class}, {"lane", s.Lane},
	}
}

// validText refuses what no log and no list can show.
func validText(key, text string) error {
	switch {
	case len(text) > selectorText:
		return &ActError{key, "is longer than 1024 bytes"}
	case !utf8.ValidString(text):
		return &ActError{key, "is not UTF-8"}
	case strings.ContainsFunc(text, unicode.IsControl):
		return &ActError{key, "has a control character"}
	}
	return nil
}

// ShellWord is a word that a shell takes as it is. What the log says may be pasted into one, and a campaign is called as its sender wants.
func ShellWord(word string) string {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789@%+=:,./_-"
	if word != "" && strings.Trim(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// String is s as the command line has it, for the log; "all" for the zero Selector.
func (s Selector) String() string {
	var words []string
	for _, f := range s.texts() {
		if f.text != "" {
			words = append(words, "--"+f.key+"="+ShellWord(f.text))
		}
	}
	if s.Older > 0 {
		words = append(words, "--older="+s.Older.String())
	}
	if words == nil {
		return "all"
	}
	return strings.Join(words, " ")
}

// covers reports whether other has every field that s has set, with the same text.
func (s Selector) covers(other Selector) bool {
	theirs := other.texts()
	for i, f := range s.texts() {
		if f.text != "" && f.text != theirs[i].text {
			return false
		}
	}
	return s.Older == 0 || s.Older == other.Older
}

// matcher is a Selector made ready to be asked of much mail.
type matcher struct {
	Selector
	domain  func(string) string // Deps.Domain
	ids     []ID                // of the messages that Selector.ID stood for when the Act was given
	arrived time.Time           // at or before; zero: whenever
	mailbox string              // the sender's, of an address
	origin  string              // the sender's domain
}

// newMatcher makes s, which is valid, ready. at is when the Act was given.
func (m *QueueMap) newMatcher(s Selector, ids []ID, at time.Time) matcher {
	x := matcher{Selector: s, domain: m.canonical, ids: ids}
	x.Domain = m.canonical(s.Domain)
	if s.Older > 0 {
		x.arrived = at.Add(-s.Older)
	}
	switch at := strings.LastIndexByte(s.Sender, '@'); {
	case s.Sender == "<>":
	case at > 0:
		x.mailbox = m.canonicalMailbox(s.Sender)
	default:
		x.origin = m.canonical(s.Sender[at+1:])
	}
	return x
}

// canonical is the queue's name for a domain, whatever its case and whether it is spelled in Unicode.
func (m *QueueMap) canonical(domain string) string {
	domain = strings.ToLower(domain)
	if m.deps.Domain != nil && domain != "" {
		return m.deps.Domain(domain)
	}
	return domain
}

func (m *QueueMap) canonicalMailbox(addr string) string {
	domain := Domain(addr)
	return mailbox(addr[:len(addr)-len(domain)]) + m.canonical(domain)
}

// message reports whether what the whole message has in common is selected.
func (x *matcher) message(m *Message) bool {
	switch {
	case m.Class() == ClassInject && x.ID == "" && x.Class != ClassInject:
		return false
	case x.ID != "" && !slices.Contains(x.ids, m.ID):
		return false
	case x.Tenant != "" && x.Tenant != m.Flow().Tenant, x.Campaign != "" && x.Campaign != m.Flow().Name:
		return false
	case x.Lane != "" && m.Flow().Urgent != (x.Lane == "urgent"):
		return false
	case !x.arrived.IsZero() && m.Arrived().After(x.arrived):
		return false
	}
	return x.Sender == "" || x.from(m.From())
}

// from reports whether the sender is selected.
func (x *matcher) from(sender string) bool {
	domain := Domain(sender)
	switch {
	case x.mailbox == "" && x.origin == "":
		return sender == "" // "<>"
	case x.mailbox == "":
		return x.isDomain(domain, x.origin)
	}
	local := mailbox(sender[:len(sender)-len(domain)])
	return strings.HasPrefix(x.mailbox, local) && x.isDomain(domain, x.mailbox[len(local):])
}

// senderDomain is the domain that every sender who is selected has, as spelled gives it; "" for the sender "<>".
func (x *matcher) senderDomain() string {
	if x.mailbox != "" {
		return strings.ToLower(Domain(x.mailbox))
	}
	return strings.ToLower(x.origin)
}

// spelled is the one spelling of a domain whose case and whose Unicode do not matter.
func (m *QueueMap) spelled(domain string) string {
	if strings.ContainsFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) {
		domain = m.canonical(domain)
	}
	return strings.ToLower(domain)
}

// isDomain reports whether a domain, as a message spells it, is the one with the canonical name. It asks for the name of those alone that
// need it: an Act looks at a million messages.
func (x *matcher) isDomain(domain, canonical string) bool {
	return strings.EqualFold(domain, canonical) ||
		strings.ContainsFunc(domain, func(r rune) bool { return r >= utf8.RuneSelf }) && x.domain(domain) == canonical
}

// node reports whether a node of the class is selected, one of a message that is. The site is another question.
func (x *matcher) node(n *Node, class string) bool {
	return (x.Domain == "" || x.Domain == n.Domain) && (x.Class == "" || (x.Class == ClassInject) == (class == ClassInject))
}
