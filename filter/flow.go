package filter

import (
	"bytes"
	"slices"

	"github.com/millrace/millrace/relay"
)

// maxFlowName is the length of a flow's name in bytes. A longer one is cut, and not hashed: what tells two messages of one
// campaign apart stands near the end of an identifier.
const maxFlowName = 64

// maxFeedbackSender is the length of the last part of a Feedback-ID by Google's rules. A longer one is something else.
const maxFeedbackSender = 15

// flowField is a header field that names the list or the campaign a message belongs to.
type flowField struct {
	name  string // lower case, or for a program that nobody can mistake the spelling of that program
	with  string // a field that must be in the header too: it tells whose field this is
	label string // stands before a bare number, so that people know whose number it is
	read  func(value []byte) []byte
}

// flowFields are the fields that are looked at; the first that is there and can be read has the word.
//
// A field that differs from message to message must not stand here, or not with the part that differs. Mail takes turns by
// flow: a campaign whose every message were a flow of its own would get all turns, and another sender's letter would wait for
// the whole of it. That two campaigns of one sender share a flow does little harm. So read returns less rather than more.
var flowFields = []flowField{
	{name: "list-id", read: listID},         // RFC 2919. Mailman, Sympa, mlmmj, ezmlm, Discourse, Mailtrain, Mailchimp
	{name: "feedback-id", read: feedbackID}, // for Gmail's postmaster tools. MailWizz, and plugins and settings of others

	{name: "x-listmonk-campaign", read: whole},                                       // a UUID; X-Listmonk-Subscriber is the reader
	{name: "x-messageid", with: "x-listmember", label: "phplist-", read: number},     // phpList; X-ListMember is the reader
	{name: "X-EMAIL-ID", label: "mautic-", read: number},                             // Mautic; others write X-Email-Id, for one message
	{name: "x-civimail-bounce", label: "civimail-", read: civiMailJob},               // CiviMail
	{name: "x-newsletter-email-id", label: "newsletter-", read: number},              // Newsletter plugin of WordPress
	{name: "x-mailer-sid", with: "x-mailer-lid", label: "interspire-", read: number}, // Interspire; X-Mailer-RecptId is the reader
	{name: "x-mailin-campaign", label: "brevo-", read: number},                       // Brevo; X-Mailin-EID is the reader
	{name: "x-mailjet-campaign", read: head},                                         // Mailjet, as the sender names it
	{name: "x-mailer-campaign", read: head},

	// Many programs of one company. Not X-Campaign with any rest: X-Campaign-Recipient is about one reader.
	{name: "x-campaign", read: head}, // also Mailchimp
	{name: "x-campaign-id", read: head},
	{name: "x-campaignid", read: head},
	{name: "x-campaign-name", read: head},
	{name: "x-campaign-uid", read: head},
}

// Flow tells with which mail a message takes turns that was brought back after a restart. The tenant is the one it was taken
// for. Its lane is that of the rule that has the name of the one that took it. Name and sender are read again if its record is of
// an older format and does not have them. Messages of our own take turns with nobody in particular.
func (in *Intake) Flow(m *relay.Message) relay.FlowName {
	if m.Class() == relay.ClassInject || m.From() == "" {
		return relay.FlowName{}
	}
	flow := m.Flow()
	if flow.Name == "" && flow.Sender == "" {
		flow = flowOf(m.Content.Head(), m.From())
		flow.Tenant = m.Flow().Tenant
	}
	flow.Urgent = in.Filter().isUrgent(m.Rule())
	return flow
}

// isUrgent reports whether the rule of this name has the urgent lane. Of rules with one name the first counts.
func (f *Filter) isUrgent(name string) bool {
	i := slices.IndexFunc(f.rules, func(r *rule) bool { return r.name == name })
	return i >= 0 && f.rules[i].urgent
}

// flowOf is what the message itself says of its flow: neither tenant nor lane.
func flowOf(header []byte, sender string) relay.FlowName {
	domain := lower(relay.Domain(sender))
	return relay.FlowName{Name: flowName(header, domain), Sender: domain}
}

// flowName is what the header calls the list or the campaign, else the domain. It is at most maxFlowName bytes of printable
// ASCII in lower case, without blanks.
func flowName(header []byte, domain string) string {
	best, name := len(flowFields), ""
	for field, value := range Fields(header) {
		for i := range best {
			f := &flowFields[i] // a copy for each field of each message would cost more than all else here
			if !f.is(field) {
				continue
			}
			if got := f.read(unfold(value)); len(got) > 0 && (f.with == "" || hasField(header, f.with)) {
				best, name = i, tidy(f.label, got)
				break
			}
		}
	}
	if name == "" {
		return tidy("", []byte(domain))
	}
	return name
}

func (f *flowField) is(name []byte) bool {
	return len(name) == len(f.name) && (equalFold(name, f.name) || string(name) == f.name)
}

func hasField(header []byte, lowerName string) bool {
	for name := range Fields(header) {
		if equalFold(name, lowerName) {
			return true
		}
	}
	return false
}

// tidy makes a name fit for a log line and a list: a blank becomes "-", and what is not printable "?".
func tidy(label string, value []byte) string {
	name := append(make([]byte, 0, maxFlowName), label...)
	for _, c := range value[:min(len(value), maxFlowName-len(label))] {
		switch {
		case c == ' ' || c == '\t':
			c = '-'
		case c < ' ' || c >= 0x7f:
			c = '?'
		}
		name = append(name, lowerByte(c))
	}
	return string(name)
}

// listID is the identifier in angle brackets (RFC 2919 section 3). Older programs leave the brackets out. A phrase alone is no
// identifier: it has blanks, or no dot.
func listID(value []byte) []byte {
	open := bytes.LastIndexByte(value, '<')
	if open < 0 {
		if bytes.ContainsAny(value, " \t\"") || bytes.IndexByte(value, '.') < 0 {
			return nil
		}
		return value
	}
	id, _, _ := bytes.Cut(value[open+1:], []byte(">"))
	return bytes.TrimSpace(id)
}

// feedbackID is the first part that can be a campaign's, and the last part, which is the sender's: a:b:c:SenderId. Google asks
// that no part is of one message, but MailWizz writes campaign:reader:list:customer. So the parts between do not count.
func feedbackID(value []byte) []byte {
	parts := bytes.Split(value, []byte(":"))
	sender := bytes.TrimSpace(parts[len(parts)-1])
	if len(sender) > maxFeedbackSender {
		sender = nil
	}
	for _, part := range parts[:len(parts)-1] {
		if part = bytes.TrimSpace(part); len(part) > 0 && !isOfOne(part) {
			return bytes.TrimSuffix(bytes.Join([][]byte{part, sender}, []byte(":")), []byte(":"))
		}
	}
	return sender
}

// isOfOne finds a part that differs from message to message: a reader's address, also as VERP writes it, or the address of the
// host which sends.
func isOfOne(part []byte) bool {
	if bytes.Count(part, []byte(".")) == 3 && len(bytes.Trim(part, "0123456789.")) == 0 {
		return true
	}
	_, domain, _ := bytes.Cut(part, []byte("="))
	return bytes.IndexByte(part, '@') >= 0 || bytes.IndexByte(domain, '.') > 0
}

// whole is a value that is an identifier as it stands.
func whole(value []byte) []byte { return value }

// number is a value of digits alone. Programs put words there for mail that is of no campaign.
func number(value []byte) []byte {
	if len(bytes.Trim(value, "0123456789")) > 0 {
		return nil
	}
	return value
}

// civiMailJob is the number of the mailing's job, from "b.JOB.READER.HASH@domain". Newer versions leave JOB out.
func civiMailJob(value []byte) []byte {
	local, _, _ := bytes.Cut(value, []byte("@"))
	parts := bytes.Split(local, []byte("."))
	if len(parts) != 4 {
		return nil
	}
	return number(parts[1])
}

// head is a value up to the first character that programs put between two identifiers: the second may be a reader's.
func head(value []byte) []byte {
	if end := bytes.IndexAny(value, "|/:;,@_"); end >= 0 {
		value = value[:end]
	}
	return bytes.TrimSpace(value)
}
