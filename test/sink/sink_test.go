package sink

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/emersion/go-smtp"
)

// TestIndependentClient delivers with go-smtp, which shares no code with the Sink, and all extensions it knows.
func TestIndependentClient(t *testing.T) {
	s, addr := start(t, Config{Keep: true}, Character{Name: "mx.test", TLS: true})
	c, err := smtp.DialStartTLS(addr.String(), &tls.Config{RootCAs: s.Roots(), ServerName: "mx.test"})
	if err != nil {
		t.Fatal(err)
	}
	body := "X-Ledger: 1\r\n\r\n.leading dot\r\n..two\r\n" + strings.Repeat("long ", 40_000) + "\r\n"
	if err := c.Mail("a@b.test", &smtp.MailOptions{Return: smtp.DSNReturnHeaders, EnvelopeID: "e1"}); err != nil {
		t.Fatal(err)
	}
	if err := c.Rcpt("c@d.test", &smtp.RcptOptions{Notify: []smtp.DSNNotify{smtp.DSNNotifyNever}}); err != nil {
		t.Fatal(err)
	}
	w, err := c.Data()
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write([]byte(body))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_ = c.Quit()
	d := s.ByID("1")
	if len(d) != 1 || !d[0].TLS || !bytes.Equal(d[0].Raw, []byte(body)) {
		t.Fatalf("%d deliveries", len(d))
	}
	for key, want := range map[string]string{"RET": "HDRS", "ENVID": "e1", "NOTIFY": "NEVER"} {
		if v, _ := d[0].Params.Value(key); v != want {
			t.Errorf("%s is %q, want %q", key, v, want)
		}
	}
}

// TestManyListenersManyClients: every message is in the ledger once, under the right name.
func TestManyListenersManyClients(t *testing.T) {
	s, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var wg sync.WaitGroup
	const domains, messages = 8, 50
	for i := range domains {
		name := fmt.Sprintf("mx%d.test", i)
		addr, err := s.Listen("127.0.0.1:0", Character{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		p := dial(t, addr)
		wg.Go(func() {
			for m := range messages {
				fmt.Fprintf(p, "EHLO a\r\nMAIL FROM:<a@b>\r\nRCPT TO:<u@%s>\r\nDATA\r\nX-Ledger: %s-%d\r\n\r\n.\r\n", name, name, m)
			}
			fmt.Fprint(p, "QUIT\r\n")
			_, _ = p.r.WriteTo(&bytes.Buffer{})
		})
	}
	wg.Wait()
	seen := map[string]int{}
	for d := range s.All() {
		seen[d.ID]++
		if !strings.HasPrefix(d.ID, d.Listener+"-") || d.Rcpt != "u@"+d.Listener {
			t.Errorf("wrong name: %+v", d)
		}
	}
	if len(seen) != domains*messages || s.Count() != domains*messages {
		t.Errorf("%d ids, %d deliveries", len(seen), s.Count())
	}
	if c := s.Counts("mx3.test"); c.Messages != messages || c.Deliveries != messages || c.Connections != 1 || c.Bytes == 0 {
		t.Errorf("counts %+v", c)
	}
}
