package filter

// DefaultRules are the rules behind those of the file, unless it says defaults = false. They match what today's mailing software puts into its headers;
// shapes_test.go has the programs, each with its headers.
//
// The order is the point. List software sends two kinds of mail with the same list headers: posts for all subscribers,
// and notices for one person who waits for it (a confirmation, a welcome, a new password). A notice must not wait behind
// a campaign. So the rules go from sure to unsure:
//
//  1. what the sender asked for
//  2. notices that say they are notices
//  3. headers that only campaigns have, and List-Post and VERP, which only a distributed message has
//  4. generated mail without any of these: alerts, tickets, confirmations, replies of older programs. An alert may say "Precedence: bulk" too, to keep
//     vacation programs quiet, and Redmine gives each of its messages a List-Id
//  5. headers that may also stand in a notice
func DefaultRules() []Rule {
	no := false
	return []Rule{
		{Name: "x-millrace-no", Header: "X-Millrace", Value: `^no$`, Take: &no},
		{Name: "x-millrace-yes", Header: "X-Millrace", Value: `^yes$`},

		{Name: "mailman-administrivia", Header: "X-List-Administrivia", Value: `^yes\b`, Take: &no},
		{Name: "phplist-system", Header: "X-MessageID", Value: `^systemmessage`, Take: &no},
		{Name: "ezmlm-responder", Header: "Delivered-To", Value: `^responder for `, Take: &no},
		{Name: "mlmmj-probe", Sender: "*bounces-probe-*=*@*", Take: &no},

		{Name: "listmonk", Header: "X-Listmonk-Campaign"},
		{Name: "listmonk-optin", Header: "X-Listmonk-Subscriber", Take: &no}, // has the campaign's headers but for the campaign
		{Name: "phplist", Header: "X-ListMember"},
		{Name: "civimail", Header: "X-CiviMail-Bounce"},
		{Name: "newsletter", Header: "X-Newsletter-Email-Id"},
		{Name: "campaign", Header: "X-Campaign*"},
		{Name: "list-post", Header: "List-Post"},
		// list+bounces-17-joe=example.org@lists.example.net. Not any sender with a "=": SRS and BATV have one too, and so do
		// forums that send passwords under VERP.
		{Name: "verp-mlmmj", Sender: "*?bounces-?*-*?=?*.*@*"},
		{Name: "verp-ezmlm", Sender: "*?-return-?*-*?=?*.*@*"},

		{Name: "auto-generated", Header: "Auto-Submitted", Value: `^auto-generated\b`, Take: &no},
		{Name: "mediawiki", Header: "X-Mailer", Value: `^MediaWiki mailer\b`, Take: &no}, // List-Unsubscribe stands in each of its messages
		// Notices for those who work on something, or of one person's post, under a List-Id.
		{Name: "forge", Header: "X-GitHub-Reason", Take: &no},
		{Name: "gerrit", Header: "X-Gerrit-MessageType", Take: &no},
		{Name: "jenkins", Header: "X-Jenkins-Job", Take: &no},
		{Name: "sentry", Header: "X-Sentry-Project", Take: &no},
		{Name: "friendica", Header: "X-Friendica-Host", Take: &no},
		{Name: "auto-reply", Header: "X-Autoreply*", Take: &no},
		{Name: "auto-respond", Header: "X-Autorespond*", Take: &no},
		{Name: "report", Header: "Content-Type", Value: `^multipart/report\b`, Take: &no}, // about one message (RFC 6522)

		// Mailman 3 gives its welcome all list headers but List-Post, and "Precedence: bulk". A post says "list".
		{Name: "precedence-list", Header: "Precedence", Value: `^list$`},
		{Name: "mailman-notice", Header: "X-Mailman-Version", Take: &no},
		{Name: "list-unsubscribe", Header: "List-Unsubscribe"},
		{Name: "feedback-id", Header: "Feedback-ID"},
		{Name: "list-id", Header: "List-Id"},
		{Name: "precedence", Header: "Precedence", Value: `^bulk$`}, // not junk, which is the word of those who write out-of-office replies
	}
}
