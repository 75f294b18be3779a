package bounce

import (
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay/smtp"
)

func TestClass(t *testing.T) {
	tests := []struct {
		code     int
		enhanced string
		text     string
		want     string
	}{
		{450, "4.2.0", "<a@b>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/", Greylist},
		{451, "4.7.1", "Greylisting in action, please come back later", Greylist},
		{421, "4.7.0", "[TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints", RateLimit},
		{421, "4.7.28", "Our system has detected an unusual rate of unsolicited mail originating from your IP address", RateLimit},
		{450, "4.2.1", "The user you are trying to contact is receiving mail at a rate that prevents additional messages", RateLimit},
		{421, "", "closing connection", RateLimit},
		{452, "4.5.3", "Too many recipients", RateLimit},
		{451, "4.3.2", "try again later", RateLimit},
		{452, "4.2.2", "The recipient's inbox is out of storage space", MailboxFull},
		{552, "5.2.2", "user over quota", MailboxFull},
		{554, "5.0.0", "Mailbox is full", MailboxFull},
		{552, "", "sorry", MailboxFull},
		{552, "5.3.4", "Message size exceeds fixed limit", Other},
		{550, "5.1.1", "User unknown", BadMailbox},
		{550, "", "No such user here", BadMailbox},
		{550, "5.2.1", "The account is disabled", BadMailbox},
		{550, "5.2.0", "no", BadMailbox},
		{450, "4.2.0", "no", Other},
		{550, "5.1.2", "bad destination system", BadDomain},
		{556, "5.1.10", "Recipient address has null MX", BadDomain},
		{550, "5.4.4", "unable to route", BadDomain},
		{554, "5.7.1", "Relay access denied", BadDomain},
		{0, "", "Host or domain name not found: domain not found", BadDomain},
		{550, "5.7.26", "This mail is unauthenticated", Auth},
		{550, "5.7.515", "Access denied, sending domain does not meet the required authentication level", Auth},
		{550, "5.7.1", "rejected by DMARC policy", Auth},
		{550, "5.7.1", "SPF check failed", Auth},
		{450, "4.7.25", "Client host rejected: cannot find your hostname", Auth},
		{554, "5.7.1", "Service unavailable; Client host blocked using zen.spamhaus.org", Policy},
		{550, "5.7.1", "no", Policy},
		{554, "", "message looks like SPAM", Policy},
		{0, "", "connect to mx.example[192.0.2.1]:25: Connection refused", Network},
		{0, "4.4.2", "lost connection", Network},
		{0, "", "", Network},
		{554, "4.4.7", "delivery time expired; last: 450 4.2.2 mailbox full", MailboxFull},
		{554, "4.4.7", "delivery time expired; last: no delivery attempt was possible", Network},
		{554, "5.0.0", "transaction failed", Other},
		{500, "", "what?", Other},
		{550, "5", "odd", Other},
		{550, "5.", "odd", Other},
	}
	for _, tt := range tests {
		r := smtp.Reply{Code: tt.code, Enhanced: tt.enhanced, Lines: []string{tt.text}}
		if got := Class(r); got != tt.want {
			t.Errorf("%s: %s, want %s", r, got, tt.want)
		}
	}
}

// Every class that can come out is in the set, and every phrase can be found.
func TestClassTables(t *testing.T) {
	known := func(c string) {
		t.Helper()
		if !slices.Contains(Classes(), c) {
			t.Errorf("%q is not a class", c)
		}
	}
	for _, c := range details {
		known(c)
	}
	for _, p := range append(slices.Clone(firstWords), laterWords...) {
		known(p.class)
		for _, w := range p.words {
			if w != strings.ToLower(w) {
				t.Errorf("%q is not in lower case: it matches nothing", w)
			}
		}
	}
}

func FuzzClass(f *testing.F) {
	f.Add(550, "5.1.1", "no")
	f.Add(0, ".", strings.Repeat("é", 3000))
	f.Fuzz(func(t *testing.T, code int, enhanced, text string) {
		if c := Class(smtp.Reply{Code: code, Enhanced: enhanced, Lines: []string{text}}); !slices.Contains(Classes(), c) {
			t.Errorf("%q is not a class", c)
		}
	})
}
