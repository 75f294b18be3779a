package filter

import (
	"fmt"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

// TestFlowNames: two readers of one campaign have one flow, and two campaigns of one program have two, as far as the program
// says which is which. The headers are those that the programs write; %d is the reader, and %c the campaign.
func TestFlowNames(t *testing.T) {
	for _, tt := range []struct{ program, header, want string }{
		{"Mailman", "List-Id: News, of us <news.lists.example.com>", "news.lists.example.com"},
		{"a list without brackets", "List-ID: ci.x.example", "ci.x.example"},
		{"a list with brackets in its phrase", `List-Id: "a <b> c" <News.Example.Com>`, "news.example.com"},
		{"a list folded", "List-Id: A long phrase\r\n\t<l.example.com>", "l.example.com"},
		{"Discourse", "List-ID: Forum | News <news.forum.example>", "news.forum.example"},
		{"a phrase alone", "List-Id: our news", "shop.example"},
		{"a word alone", "List-Id: news", "shop.example"},
		{"empty brackets", "List-Id: <>", "shop.example"},
		{"a bracket left open", "List-Id: <l.example.com", "l.example.com"},
		{"Mailtrain", "X-FBL: 6.1.%d / List-ID: News <list%c.shop.example>", "list17.shop.example"},
		{"Mailchimp", "X-Campaign: mailchimp5f.%c / List-ID: <5fmc.list-id.example.net> / X-MC-User: %d", "5fmc.list-id.example.net"},

		{"Google's form", "Feedback-ID: camp%c:customer2:type3:sender9", "camp17:sender9"},
		{"MailWizz", "X-Fx-Subscriber-Uid: cf%d / X-Fx-Campaign-Uid: ok%cmq / Feedback-ID: ok%cmq:cf%d:dd296hm0jzd67:pp359780cbfd3", "ok17mq:pp359780cbfd3"},
		{"a last part that is the message's", "Feedback-ID: 510616m:510616apGKSTK:510616svbvckzTF%d", "510616m"},
		{"a first part that is the host's address", "Feedback-ID: 192.0.2.%d:c%c_-1:c%c:Sendmany", "c17_-1:sendmany"},
		{"a first part that is the reader's address", "Feedback-ID: joe%d@example.org:c%c:Shop", "c17:shop"},
		{"a first part that is the reader as in VERP", "Feedback-ID: joe%d=example.org:c%c:Shop", "c17:shop"},
		{"empty parts", "Feedback-ID: : :c%c:Shop", "c17:shop"},
		{"a sender alone", "Feedback-ID: :::Shop", "shop"},
		{"no colon", "Feedback-ID: Shop", "shop"},
		{"nothing of use", "Feedback-ID: :::", "shop.example"},

		{"listmonk", "X-Listmonk-Campaign: 8c1f-%c / X-Listmonk-Subscriber: 2e-%d", "8c1f-17"},
		{"phpList", "X-MessageID: %c / X-ListMember: joe%d@b.example", "phplist-17"},
		{"phpList's notice", "X-MessageID: systemmessage / X-ListMember: joe%d@b.example", "shop.example"},
		{"another program's message id", "X-MessageID: 4711%d", "shop.example"},
		{"Mautic", "X-EMAIL-ID: %c / Precedence: Bulk", "mautic-17"},
		{"another program's number of a message", "X-Email-ID: 4711%d", "shop.example"},
		{"CiviMail", "X-CiviMail-Bounce: b.%c.%d.abc@example.com", "civimail-17"},
		{"CiviMail with a prefix", "X-CiviMail-Bounce: bounce+b.%c.%d.abc@example.com", "civimail-17"},
		{"CiviMail without the job", "X-CiviMail-Bounce: b.%d.abc@mail.example.com", "shop.example"},
		{"Newsletter of WordPress", "X-Newsletter-Email-Id: %c", "newsletter-17"},
		{"Interspire", "X-Mailer-LID: 8,13 / X-Mailer-RecptId: %d / X-Mailer-SID: %c / X-Mailer-Sent-By: 2", "interspire-17"},
		{"Brevo", "X-Mailin-Campaign: %c / X-Mailin-EID: %d", "brevo-17"},
		{"a campaign by its name", "X-Campaign: Summer Sale %c", "summer-sale-17"},
		{"a campaign with a reader", "X-Campaign-ID: c%c_%d", "c17"},
		{"a campaign with a reader, by a colon", "X-CampaignID: c%c:%d", "c17"},
		{"a field about the reader", "X-Campaign-Recipient: %d", "shop.example"},
		{"a campaign in UTF-8", "X-Campaign: \u00c9t\u00e9%c", "??t??17"},
		{"a control character", "X-Campaign: a\x1b[1m%c", "a?[1m17"},
		{"a long one", "X-Campaign: " + strings.Repeat("x", 100), strings.Repeat("x", 64)},

		{"nothing", "Subject: hi %d", "shop.example"},
		{"the better field stands below", "X-Campaign: c%c / Feedback-ID: f%c:Shop / List-Id: <l.example>", "l.example"},
		{"the better field is of no use", "List-Id: our news / X-Campaign: c%c", "c17"},
		{"a field twice", "X-Campaign: a%c / X-Campaign: b%c", "a17"},
	} {
		name := func(campaign, reader int) string {
			text := strings.NewReplacer("%c", fmt.Sprint(campaign), "%d", fmt.Sprint(reader)).Replace(tt.header)
			return flowName(lines(strings.Split(text, " / ")...), "shop.example")
		}
		if got := name(17, 1); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.program, got, tt.want)
		}
		if a, b := name(17, 1), name(17, 2); a != b {
			t.Errorf("%s: %q and %q for two readers", tt.program, a, b)
		}
		if a, b := name(17, 1), name(18, 1); (a != b) != strings.Contains(tt.want, "17") {
			t.Errorf("%s: %q and %q for two campaigns", tt.program, a, b)
		}
	}
}

// TestFlowOfShapes: the flows of what real programs send.
func TestFlowOfShapes(t *testing.T) {
	want := map[string]string{
		"listmonk campaign":                        "1f",
		"phpList campaign":                         "phplist-17",
		"CiviMail":                                 "civimail-12",
		"Newsletter plugin of WordPress":           "newsletter-4",
		"Discourse notification of a post":         "example.com", // its phrase is cut at the mark between two fields
		"campaign program with Feedback-ID":        "c17:example",
		"any program with X-Campaign":              "9",
		"Google Groups post":                       "l.groups.example.com",
		"Mailman 2 post under VERP":                "l.lists.example.com",
		"mlmmj without list headers":               "lists.example.com",
		"mlmmj with another delimiter":             "lists.example.com",
		"Majordomo":                                "lists.example.com",
		"Sympa post with List-Post switched off":   "lists.example.com",
		"Mautic segment mail":                      "example.com",
		"Odoo mailing":                             "example.com",
		"quarantine digest of a spam filter":       "example.com",
		"MailPoet newsletter":                      "example.com",
		"Discourse summary":                        "example.com",
		"Simplenews of Drupal":                     "example.com",
		"opt in":                                   "example.com",
		"vacation reply that a list distributes":   "l.lists.example.com",
		"Mailman 2 post that calls itself junk":    "l.lists.example.com",
		"forge's notice that a list distributes":   "l.lists.example.com",
		"Mailman 3 announcement list":              "l.lists.example.com",
		"bug tracker's mail through Mailman":       "l.lists.example.com",
		"MediaWiki notice that a list distributes": "l.lists.example.com",
		"Mailman 2 announcement without List-Post": "l.lists.example.com",
		"Mailman 2 digest":                         "l.lists.example.com",
		"Mailman 2 post":                           "l.lists.example.com",
		"Mailman 3 post":                           "l.lists.example.com",
		"Sympa post":                               "l.lists.example.com",
		"SmartList post":                           "l.lists.example.com",
		"ezmlm post":                               "l.lists.example.com",
		"mlmmj, bug tracker's mail":                "l.lists.example.com",
	}
	for _, s := range campaigns {
		sender := s.sender
		if sender == "" {
			sender = offer().Sender
		}
		flow := flowOf(lines(strings.Split(s.header, " | ")...), sender)
		if flow.Name != want[s.program] || flow.Sender != relay.Domain(sender) {
			t.Errorf("%s: %+v, want %q", s.program, flow, want[s.program])
		}
	}
	if len(want) != len(campaigns) {
		t.Errorf("%d flows for %d shapes", len(want), len(campaigns))
	}
}

// FuzzFlowName: whatever a stranger writes, a flow's name fits in a line and a list.
func FuzzFlowName(f *testing.F) {
	f.Add([]byte("List-Id: a <b>\r\n"), "example.com")
	f.Add([]byte("Feedback-ID: a:b:c:d\r\nX-Campaign: \xff\r\n\t x\r\n"), "")
	f.Add([]byte("X-CiviMail-Bounce: b.1.2.c@d.example\r\n"), "example.com")
	f.Add([]byte("X-MessageID: 5\r\nX-ListMember: a\r\n"), "example.com")
	f.Fuzz(func(t *testing.T, header []byte, domain string) {
		name := flowName(header, domain)
		switch {
		case len(name) > maxFlowName:
			t.Errorf("%q has %d bytes", name, len(name))
		case name == "" && domain != "":
			t.Error("no name")
		case strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || 'A' <= r && r <= 'Z' }):
			t.Errorf("%q does not fit in a line", name)
		case tidy("", []byte(name)) != name:
			t.Errorf("%q is not tidy", name)
		}
		if again := flowName(header, domain); again != name {
			t.Errorf("%q, then %q", name, again)
		}
	})
}

// TestFlowOfATakenMessage: a message has its flow when the heart sees it, and the same one after a restart.
func TestFlowOfATakenMessage(t *testing.T) {
	s := newSite(t, Deliver, wideLimits())
	if got := (&lineDoor{in: s.in}).send(newsletter(end...)); got != "taken 1" {
		t.Fatal(got)
	}
	m := s.heart.taken[0]
	if want := (relay.FlowName{Name: "l.example.com", Sender: "example.com"}); m.Flow() != want {
		t.Errorf("taken: %+v", m.Flow())
	}
	restored := &relay.Message{Content: m.Content, Slip: &relay.Slip{Envelope: m.Slip.Envelope, Rule: m.Rule(), Flow: relay.FlowName{Tenant: "acme"}}}
	if got := s.in.Flow(restored); got != (relay.FlowName{Tenant: "acme", Name: "l.example.com", Sender: "example.com"}) {
		t.Errorf("restored: %+v", got)
	}
	restored.Slip.Class = relay.ClassInject
	if got := s.in.Flow(restored); got != (relay.FlowName{}) {
		t.Errorf("a message of our own: %+v", got)
	}
}

// TestLane: the lane of the rule that takes a message is the message's, and after a restart that of the rule of its name.
func TestLane(t *testing.T) {
	for _, tt := range []struct {
		lane      string
		now, then bool
	}{{"", false, false}, {LaneBulk, false, false}, {LaneUrgent, true, true}} {
		s := newSite(t, Deliver, wideLimits(),
			Rule{Name: "resets", Header: "List-Id", Lane: tt.lane}, Rule{Name: "other", Header: "List-Id", Lane: LaneUrgent})
		if got := (&lineDoor{in: s.in}).send(newsletter(end...)); got != "taken 1" {
			t.Fatal(got)
		}
		m := s.heart.taken[0]
		if again := s.in.Flow(m); m.Flow().Urgent != tt.now || again.Urgent != tt.then {
			t.Errorf("lane %q: %+v, restored %+v", tt.lane, m.Flow(), again)
		}
		m.Slip.Rule = "gone"
		if s.in.Flow(m).Urgent {
			t.Errorf("lane %q: urgent by a rule that is gone", tt.lane)
		}
	}
}
