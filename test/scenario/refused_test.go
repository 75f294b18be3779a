package scenario

import (
	"bytes"
	"testing"
)

// TestFilterWhoseMTARefusesSome: Postfix behind the filter refuses one recipient of three. Postfix in front of it would bounce the
// message for all three: they got it, and the sender hears of one.
func TestFilterWhoseMTARefusesSome(t *testing.T) {
	s := behind(t, AfterQueue, Options{Keep: true})
	access := s.ports.Replace(`postconf -e 'lists = check_recipient_access inline:{{gone@` + LocalDomain + `=550 5.7.1 not on this list}}, permit_mynetworks, reject'
postconf -P '127.0.0.1:10027/inet/smtpd_recipient_restrictions=$lists'`)
	if err := s.Postfix.Shell(access); err != nil {
		t.Fatal(err)
	}
	if err := s.Postfix.Reload(); err != nil {
		t.Fatal(err)
	}
	submit(t, s.Entry(), "<ann@sender.test>", []string{"<a@" + LocalDomain + ">", "<gone@" + LocalDomain + ">", "<b@" + LocalDomain + ">"}, []int{250, 250, 250},
		"X-Ledger: some\r\nFrom: <ann@sender.test>\r\nSubject: hello\r\n\r\nHello.\r\n")
	expect(t, s, map[string]int{"local a@" + LocalDomain: 1, "local b@" + LocalDomain: 1, "remote ann@sender.test": 1})
	for d := range s.Sink.All() {
		if d.Rcpt != "ann@sender.test" {
			continue
		}
		for _, want := range []string{"multipart/report", "gone@" + LocalDomain, "550 5.7.1", "not on this list", "Subject: hello"} {
			if !bytes.Contains(d.Raw, []byte(want)) {
				t.Errorf("the notification has no %q:\n%s", want, d.Raw)
			}
		}
		for _, other := range []string{"<a@" + LocalDomain, "<b@" + LocalDomain} {
			if bytes.Contains(d.Raw, []byte(other)) {
				t.Errorf("the notification names %s:\n%s", other, d.Raw)
			}
		}
	}
}
