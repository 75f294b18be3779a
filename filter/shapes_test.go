package filter

import (
	"strings"
	"testing"
)

// shape is what one program sends, as far as the rules look at it.
type shape struct {
	program string
	sender  string // "" for an ordinary one
	header  string // fields in one line, separated by " | "
	rule    string // the default rule that decides; "" when none matches or none may be asked
	why     string
}

// campaigns must be taken: each of them goes to many, and nobody waits for one copy.
var campaigns = []shape{
	{"listmonk campaign", "", "X-Listmonk-Campaign: 1f | X-Listmonk-Subscriber: 2e | List-Unsubscribe: <https://x.example/u> | List-Unsubscribe-Post: List-Unsubscribe=One-Click", "listmonk", "its campaigns carry the campaign's id"},
	{"Mautic segment mail", "news+bounce_5f1e@example.com", "List-Unsubscribe: <https://x.example/u> | List-Unsubscribe-Post: List-Unsubscribe=One-Click", "list-unsubscribe", "added when the text has an unsubscribe link; that is all it has"},
	{"phpList campaign", "", "X-phpList-version: 3.6 | X-MessageID: 17 | X-ListMember: a@b.example | Precedence: bulk | Bounces-To: b@x.example", "phplist", "X-MessageID is the campaign's number"},
	{"CiviMail", "b.12.34.abc@example.com", "Precedence: bulk | X-CiviMail-Bounce: b.12.34.abc@example.com | List-Unsubscribe: <mailto:u.12.34.abc@example.com>", "civimail", "only its mailings have the bounce address in the header"},
	{"Newsletter plugin of WordPress", "", "Precedence: bulk | X-Newsletter-Email-Id: 4 | X-Auto-Response-Suppress: OOF, AutoReply", "newsletter", "the campaign's id"},
	{"MailPoet newsletter", "", "X-Mailer: MailPoet (https://www.mailpoet.com) | List-Unsubscribe: <https://x.example/u> | List-Unsubscribe-Post: List-Unsubscribe=One-Click", "list-unsubscribe", "only newsletters can be unsubscribed from"},
	{"Odoo mailing", "bounce+17@example.com", "Precedence: list | List-Unsubscribe: <https://x.example/u> | List-Unsubscribe-Post: List-Unsubscribe=One-Click | X-Auto-Response-Suppress: OOF", "precedence-list", "mailings have it, notifications do not"},
	{"Mailman 2 post", "l-bounces@lists.example.com", "X-BeenThere: l@lists.example.com | X-Mailman-Version: 2.1.39 | Precedence: list | List-Id: <l.lists.example.com> | List-Unsubscribe: <mailto:x> | List-Post: <mailto:l@lists.example.com> | List-Help: <mailto:x>", "list-post", "a post has where to post"},
	{"Mailman 2 post under VERP", "l-bounces+joe=example.org@lists.example.com", "X-Mailman-Version: 2.1.39 | Precedence: list | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "as without VERP"},
	{"Mailman 2 announcement without List-Post", "l-bounces@lists.example.com", "X-Mailman-Version: 2.1.39 | Precedence: list | List-Id: <l.lists.example.com> | List-Unsubscribe: <mailto:x>", "precedence-list", "include_list_post_header = no; posts still say list"},
	{"Mailman 2 digest", "l-bounces@lists.example.com", "X-Mailman-Version: 2.1.39 | Precedence: list | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "goes to all digest members"},
	{"Mailman 3 post", "l-bounces@lists.example.com", "X-Mailman-Version: 3.3.8 | Precedence: list | List-Id: <l.lists.example.com> | List-Help: <mailto:x> | List-Post: <mailto:l@lists.example.com> | List-Unsubscribe: <mailto:x>", "list-post", "a post has where to post"},
	{"Mailman 3 announcement list", "l-bounces@lists.example.com", "X-Mailman-Version: 3.3.8 | Precedence: list | List-Id: <l.lists.example.com> | List-Post: NO", "list-post", "says NO, but only in posts"},
	{"bug tracker's mail through Mailman", "l-bounces@lists.example.com", "Auto-Submitted: auto-generated | X-Bugzilla-URL: https://x.example | X-Mailman-Version: 2.1.29 | Precedence: list | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "the author was a program, but the list distributes it"},
	{"mlmmj without list headers", "l+bounces-17-joe=example.org@lists.example.com", "Subject: hello", "verp-mlmmj", "out of the box it adds none; the sender has the post's number and the subscriber"},
	{"mlmmj with another delimiter", "l-bounces-17-joe=example.org@lists.example.com", "Subject: hello", "verp-mlmmj", "delimiter = -"},
	{"mlmmj, bug tracker's mail", "l+bounces-1234-joe=example.org@lists.example.com", "Auto-Submitted: auto-generated | Precedence: bulk | List-Id: <l.lists.example.com> | List-Unsubscribe: <mailto:x>", "verp-mlmmj", "the list distributes it"},
	{"ezmlm post", "l-return-17-joe=example.org@lists.example.com", "Mailing-List: contact l-help@lists.example.com; run by ezmlm | Precedence: bulk | List-Id: <l.lists.example.com>", "verp-ezmlm", "the sender has the post's number and the subscriber"},
	{"Sympa post", "l-owner@lists.example.com", "X-Loop: l@lists.example.com | X-Sequence: 4 | Errors-To: l-owner@lists.example.com | Precedence: list | Precedence: bulk | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "Precedence stands there twice"},
	{"Sympa post with List-Post switched off", "l-owner@lists.example.com", "X-Loop: l@lists.example.com | Precedence: first-class | Precedence: bulk", "precedence", "one of the two fields is enough"},
	{"Majordomo", "owner-l@lists.example.com", "Sender: owner-l@lists.example.com | Precedence: bulk", "precedence", "that is all it has"},
	{"Discourse notification of a post", "", "Precedence: list | List-ID: Forum | News <news.forum.example> | List-Archive: https://x.example | List-Unsubscribe: <https://x.example/u> | X-Auto-Response-Suppress: All", "precedence-list", "one for each watcher of the topic"},
	{"Discourse summary", "", "List-Unsubscribe: <https://x.example/u> | X-Auto-Response-Suppress: All", "list-unsubscribe", "weekly, to everybody"},
	{"campaign program with Feedback-ID", "", "Feedback-ID: c17:shop:news:example", "feedback-id", "Google asks bulk senders for it"},
	{"any program with X-Campaign", "", "X-CampaignID: 9", "campaign", "the names of this kind differ in their ends only"},
	{"Mailman 2 post that calls itself junk", "l-bounces@lists.example.com", "X-BeenThere: l@lists.example.com | X-Mailman-Version: 2.1.12 | Precedence: junk | List-Id: <l.lists.example.com> | List-Unsubscribe: <mailto:x> | List-Post: <mailto:l@lists.example.com>", "list-post", "one site's template; a post has where to post"},
	{"SmartList post", "bounce-l=joe=example.org@lists.example.com", "X-Mailing-List: <l@lists.example.com> archive/latest/4 | X-Loop: l@lists.example.com | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com> | Precedence: list | Resent-Message-ID: <4@x> | Resent-Sender: l-request@lists.example.com", "list-post", "Resent-Sender is the list's, not a person's"},
	{"Google Groups post", "l+bncBC@googlegroups.example.com", "Precedence: list | Mailing-list: list l@groups.example.com; contact l+owners@groups.example.com | List-ID: <l.groups.example.com> | X-Google-Group-Id: 4 | List-Post: <https://x.example>, <mailto:l@groups.example.com>", "list-post", "a post has where to post"},
	{"vacation reply that a list distributes", "l-bounces@lists.example.com", "X-Autoreply: yes | X-Mailman-Version: 2.1.39 | Precedence: list | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "all subscribers get it, alas"},
	{"forge's notice that a list distributes", "l-bounces@lists.example.com", "X-GitHub-Reason: subscribed | X-Mailman-Version: 3.3.8 | Precedence: list | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "the list follows a repository"},
	{"MediaWiki notice that a list distributes", "l-bounces@lists.example.com", "X-Mailer: MediaWiki mailer | List-Id: <l.lists.example.com> | List-Post: <mailto:l@lists.example.com>", "list-post", "a list for the changes of a wiki"},
	{"Simplenews of Drupal", "", "X-Mailer: Drupal | Precedence: bulk | List-Unsubscribe: <https://x.example/u>", "list-unsubscribe", "only newsletters can be unsubscribed from"},
	{"quarantine digest of a spam filter", "postmaster@example.com", "Precedence: bulk | Subject: 7 messages in your quarantine", "precedence", "nightly, one for each user"},
	{"opt in", "", "X-Millrace: yes | Auto-Submitted: auto-generated", "x-millrace-yes", "the sender asks for it"},
}

// letters must stay with the MTA: each of them has one reader, who may be waiting for it.
var letters = []shape{
	{"a person's mail", "", "From: a@b.example | Subject: hi", "", "nothing says bulk"},
	{"a person's mail through SRS", "SRS0=f0Kx=7Q=b.example=joe@fwd.example", "Subject: hi", "", "a forwarded letter is no VERP"},
	{"a person's mail through SRS twice", "SRS1=x=fwd.example==f0Kx=7Q=b.example=joe-bounces@fwd2.example", "Subject: hi", "", "as above"},
	{"a person's mail under BATV", "prvs=1234abcdef=joe@b.example.com", "Subject: hi", "", "a signed sender is no VERP"},
	{"a forum's password mail under VERP", "bounces+a1b2+joe=example.org@forum.example", "Subject: reset", "", "forums send everything so"},
	{"opt out", "", "X-Millrace: no | List-Post: <mailto:x> | List-Unsubscribe: <mailto:x>", "x-millrace-no", "the sender asks for it"},
	{"listmonk transactional", "", "Subject: your receipt", "", "it has no campaign"},
	{"listmonk opt-in confirmation", "", "Subject: confirm", "", "no campaign either"},
	{"listmonk opt-in confirmation with its unsubscribe header", "", "X-Listmonk-Subscriber: 2e | List-Unsubscribe: <https://x.example/u> | List-Unsubscribe-Post: List-Unsubscribe=One-Click", "listmonk-optin", "the new reader waits for it; a campaign has its id too"},
	{"MediaWiki temporary password", "wiki@example.com", "X-Mailer: MediaWiki mailer | List-Unsubscribe: <https://x.example/wiki/Special:Preferences>", "mediawiki", "each of its messages has List-Unsubscribe"},
	{"MediaWiki mail between users", "wiki@example.com", "X-Mailer: MediaWiki mailer | List-Unsubscribe: <https://x.example/wiki/Special:Preferences> | Reply-To: joe@b.example", "mediawiki", "a person's mail"},
	{"PostfixAdmin vacation", "joe@example.com", "Precedence: junk | X-Loop: Postfix Admin Virtual Vacation", "", "a reply to one person; its older versions do not say auto-replied"},
	{"procmail autoresponder", "joe@example.com", "Precedence: junk | In-Reply-To: <4@b.example> | X-Loop: joe@example.com", "", "a reply to one person"},
	{"osTicket autoresponse", "support@example.com", "Precedence: bulk | X-Autoreply: yes | X-Auto-Response-Suppress: ALL, AutoReply", "auto-reply", "a reply to one person"},
	{"autoresponder of a hosting panel", "joe@example.com", "X-Autorespond: hello | Precedence: bulk", "auto-respond", "a reply to one person"},
	{"autoresponder with its own Precedence", "joe@example.com", "Precedence: auto_reply", "", "neither bulk nor list"},
	{"read receipt", "joe@example.com", "Precedence: bulk | Content-Type: multipart/report; report-type=disposition-notification; boundary=x", "report", "about one message"},
	{"failure report with a sender", "postmaster@example.com", "List-Id: <l.lists.example.com> | List-Unsubscribe: <mailto:x> | Content-Type: multipart/report; report-type=delivery-status; boundary=x", "report", "some groupware copies the list's fields and forgets the null sender"},
	{"TLS report", "noreply@example.com", "TLS-Report-Domain: b.example | TLS-Report-Submitter: example.com | Auto-Submitted: auto-generated | Content-Type: multipart/report; report-type=tlsrpt", "auto-generated", "a report to one postmaster"},
	{"DMARC aggregate report", "noreply@example.com", "Subject: Report Domain: b.example Submitter: example.com | Content-Type: application/gzip", "", "nothing says bulk"},
	{"abuse report to a feedback loop", "fbl@example.com", "Precedence: bulk | Content-Type: multipart/report; report-type=feedback-report", "report", "about one message"},
	{"journal report of a groupware", "journal@example.com", "X-MS-Journal-Report: | Content-Type: multipart/mixed", "", "a copy for the archive"},
	{"calendar invitation", "joe@example.com", "Content-Type: text/calendar; method=REQUEST", "", "a person's"},
	{"GitLab password reset", "", "X-GitLab-Project: p | Auto-Submitted: auto-generated | X-Auto-Response-Suppress: All", "auto-generated", "all its mail says so"},
	{"GitLab notification", "", "X-GitLab-Project: p | List-Id: g/p <p.g.git.example> | List-Unsubscribe: <https://x.example> | Auto-Submitted: auto-generated", "auto-generated", "a notice for those who work on it"},
	{"Gitea notification", "", "List-ID: joe/r <r.joe.git.example> | List-Archive: <https://x.example> | List-Unsubscribe: https://x.example | X-Mailer: Gitea | X-Gitea-Reason: mention | X-GitHub-Reason: mention", "forge", "a notice for those who work on it; Forgejo has the same fields"},
	{"Gerrit change", "", "X-Gerrit-MessageType: newchange | List-Id: <gerrit-r.x.example> | List-Unsubscribe: <https://x.example/settings>", "gerrit", "a reviewer waits for it"},
	{"Jenkins build broken", "", "X-Jenkins-Job: r | X-Jenkins-Result: FAILURE | List-ID: ci.x.example | Precedence: bulk", "jenkins", "an alert"},
	{"Sentry alert", "", "X-Sentry-Project: r | X-Sentry-Logger-Level: error | List-Id: <r.o.x.example>", "sentry", "an alert"},
	{"Friendica notification", "", "X-Friendica-Host: f.example | X-Friendica-Account: <joe@f.example> | List-ID: <notification.f.example> | List-Archive: <https://x.example>", "friendica", "about one person's post, or a message to one person"},
	{"Moodle forum post", "", "List-Id: \"News\" <moodleforum4@m.example> | List-Help: <https://x.example> | Precedence: Bulk | X-Auto-Response-Suppress: All | Auto-Submitted: auto-generated | List-Unsubscribe: <https://x.example>", "auto-generated", "as its password mail, which cannot be told apart"},
	{"Mattermost password reset", "", "Precedence: bulk | Auto-Submitted: auto-generated", "auto-generated", "all its mail says so"},
	{"Nextcloud share", "", "Auto-Submitted: auto-generated | Subject: joe shared a file", "auto-generated", "a notice for one person"},
	{"WordPress lost password", "wordpress@example.com", "X-Mailer: PHPMailer 6.9.1 (https://github.com/PHPMailer/PHPMailer) | Subject: Password Reset", "", "nothing says bulk"},
	{"Matomo report", "noreply@example.com", "Subject: Weekly report | Content-Type: multipart/mixed", "", "nothing says bulk"},
	{"a person's mail to a list", "joe@example.com", "To: l@lists.example.com | In-Reply-To: <4@x> | Subject: Re: [l] hi", "", "the list manager has not seen it yet"},
	{"a person's answer that quotes list fields", "joe@example.com", "X-Original-List-Id: <l.lists.example.com> | Subject: Fwd: hi", "", "no list field of its own"},
	{"Mautic password reset", "", "Subject: reset", "", "no unsubscribe link in it"},
	{"phpList confirmation", "", "X-phpList-version: 3.6 | X-MessageID: systemmessage | X-ListMember: a@b.example | Precedence: bulk", "phplist-system", "its system messages look like a campaign, but for the id"},
	{"Mailman 2 confirmation", "l-bounces@lists.example.com", "X-BeenThere: l@lists.example.com | X-Mailman-Version: 2.1.39 | Precedence: bulk | List-Id: <l.lists.example.com> | X-List-Administrivia: yes", "mailman-administrivia", "it says so itself"},
	{"Mailman 2 notice to the owner", "mailman-bounces@lists.example.com", "Precedence: list | X-Mailman-Version: 2.1.29 | List-Id: <l.lists.example.com> | X-List-Administrivia: yes", "mailman-administrivia", "Precedence is that of a post"},
	{"Mailman 2 password reminder", "mailman-bounces@lists.example.com", "Auto-Submitted: auto-generated | Precedence: bulk | X-No-Archive: yes | X-Mailman-Version: 2.1.39", "auto-generated", "no list header at all"},
	{"Mailman 3 confirmation", "l-bounces@lists.example.com", "Auto-Submitted: auto-generated | Precedence: list | X-Mailman-Version: 3.3.8 | List-Id: <l.lists.example.com> | List-Help: <mailto:x> | List-Unsubscribe: <mailto:x> | List-Subscribe: <mailto:x>", "auto-generated", "somebody waits for it; only List-Post is missing"},
	{"Mailman 3 welcome", "l-bounces@lists.example.com", "Precedence: bulk | X-Mailman-Version: 3.3.8 | List-Id: <l.lists.example.com> | List-Help: <mailto:x> | List-Unsubscribe: <mailto:x> | List-Subscribe: <mailto:x>", "mailman-notice", "not even generated; a post would say list"},
	{"mlmmj confirmation", "l+bounces-confsub-8c1f2a3b@lists.example.com", "From: l+owner@lists.example.com | Subject: confirm", "", "the sender has a cookie, no subscriber"},
	{"mlmmj help", "l+bounces-help@lists.example.com", "Subject: help", "", "no subscriber in the sender"},
	{"mlmmj probe", "l+bounces-probe-joe=example.org@lists.example.com", "Subject: bounces", "mlmmj-probe", "one for a subscriber whose mail bounces"},
	{"ezmlm confirmation", "l-return-@lists.example.com", "Mailing-List: contact l-help@lists.example.com; run by ezmlm | List-Post: <mailto:l@lists.example.com> | Delivered-To: responder for l@lists.example.com", "ezmlm-responder", "list headers of a post; it was delivered to the responder"},
	{"Sympa service message", "l-owner@lists.example.com", "From: sympa@lists.example.com | Auto-Submitted: auto-generated | Subject: confirm", "auto-generated", "all templates say so"},
	{"Redmine lost password", "", "X-Mailer: Redmine | X-Redmine-Host: r.example | X-Auto-Response-Suppress: All | Auto-Submitted: auto-generated | List-Id: <redmine.example.com>", "auto-generated", "each of its messages has a List-Id"},
	{"Redmine change of an issue", "", "X-Mailer: Redmine | X-Redmine-Issue-Id: 4 | Auto-Submitted: auto-generated | List-Id: <redmine.example.com>", "auto-generated", "a notice for those who work on it"},
	{"RT correspondence", "", "Precedence: bulk | X-RT-Loop-Prevention: rt | X-RT-Originator: joe@b.example | RT-Ticket: x #4 | Auto-Submitted: auto-generated", "auto-generated", "Precedence only keeps vacation programs quiet"},
	{"RT autoreply", "", "Precedence: bulk | X-RT-Loop-Prevention: rt | Auto-Submitted: auto-replied", "precedence", "a reply to one person"},
	{"Jira", "", "Precedence: bulk | X-JIRA-FingerPrint: ba86 | Auto-Submitted: auto-generated", "auto-generated", "a notice for those who work on it"},
	{"Bugzilla", "", "X-Bugzilla-Type: changed | Auto-Submitted: auto-generated", "auto-generated", "a notice for those who work on it"},
	{"Nagios", "nagios@example.com", "Subject: ** PROBLEM Service Alert **", "", "an alert by mail(1)"},
	{"Observium alert", "", "Precedence: bulk | Auto-Submitted: auto-generated", "auto-generated", "an alert that keeps vacation programs quiet"},
	{"cron", "root@example.com", "Auto-Submitted: auto-generated | X-Cron-Env: <SHELL=/bin/sh>", "auto-generated", "a notice for root"},
	{"vacation", "joe@example.com", "Auto-Submitted: auto-replied | Precedence: bulk", "precedence", "a reply to one person"},
	{"vacation on a list", "joe@example.com", "List-Id: <l.example.com> | Auto-Submitted: auto-replied (vacation)", "list-id", "a reply, whatever list headers it copied"},
	{"out of office of a groupware", "joe@example.com", "Auto-Submitted: auto-generated | X-Auto-Response-Suppress: All", "auto-generated", "a reply to one person"},
	{"sieve notification", "joe@example.com", "Auto-Submitted: auto-notified; owner-email=joe@example.com", "", "RFC 5436: a notice for one person"},
	{"failure report", "<>", "Auto-Submitted: auto-replied | Content-Type: multipart/report; report-type=delivery-status", "", "the null sender is never taken"},
	{"shop order", "shop@example.com", "X-Mailer: WooCommerce | Subject: your order", "", "nothing says bulk"},
	{"shop order, generated", "shop@example.com", "Auto-Submitted: auto-generated | Subject: your order", "auto-generated", "somebody waits for it"},
	{"Odoo notification", "bounce+17@example.com", "X-Odoo-Objects: sale.order-4", "", "a mailing would have List-Unsubscribe"},
	{"Discourse password reset", "", "X-Auto-Response-Suppress: All | Auto-Submitted: auto-generated", "auto-generated", "no list header"},
	{"MailPoet confirmation", "", "X-Mailer: MailPoet (https://www.mailpoet.com)", "", "a newsletter would have List-Unsubscribe"},
	{"CiviCRM receipt", "", "Subject: your donation", "", "no CiviMail header"},
	{"Mastodon notification", "", "Precedence: list | List-ID: <joe.m.example> | List-Unsubscribe: <https://x.example> | X-Auto-Response-Suppress: All | Auto-Submitted: auto-generated", "auto-generated", "about one person's post"},
}

// TestShapes holds the default rules to what real programs send. The fields are as the programs' source or published
// examples of their mail have them.
func TestShapes(t *testing.T) {
	f := compile(t)
	if n := len(campaigns) + len(letters); n < 39 {
		t.Errorf("only %d shapes", n)
	}
	for want, shapes := range map[Decision][]shape{Take: campaigns, Pass: letters} {
		for _, s := range shapes {
			t.Run(s.program, func(t *testing.T) {
				o := offer()
				switch s.sender {
				case "":
				case "<>":
					o.Sender = ""
				default:
					o.Sender = s.sender
				}
				v := f.Decide(o, lines(strings.Split(s.header, " | ")...))
				if v.Decision != want || v.Rule != s.rule {
					t.Errorf("%v by %q (%s), want %v by %q: %s", v.Decision, v.Rule, v.Reason, want, s.rule, s.why)
				}
				if early := f.Early(o); early.Decision != Unknown && early.Decision != want {
					t.Errorf("Early says %v (%s), want %v", early.Decision, early.Reason, want)
				}
			})
		}
	}
}
