package scenario

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/daemon"
)

// TestCustomersWhoLogIn: Postfix tells Millrace who has logged in, and each customer's mail is that of his tenant, before and after
// a restart of Millrace. Nothing in the mail says whose it is.
func TestCustomersWhoLogIn(t *testing.T) {
	s := beside(t, Options{
		Main:   map[string]string{"smtpd_sasl_auth_enable": "yes", "smtpd_sasl_type": "dovecot", "smtpd_sasl_path": "inet:" + authenticate(t)},
		Config: "retry.schedule = ['1h']\ntenant = [{name = 'acme', sasl_user = '*@acme.test'}, {name = 'shop', sasl_user = 'shop'}]",
	})
	if err := s.Millrace.Replace(daemon.NextHop(s.Bulk), daemon.NextHop(s.refusing(t))); err != nil {
		t.Fatal(err)
	}
	s.restart(t)
	for _, login := range []string{"joe@acme.test", "jim@acme.test", "shop", "other", ""} {
		handIn(t, s.Addr(), login)
	}
	want := []string{"", "", "acme", "acme", "shop"}
	eventually(t, "all are taken", func() bool { return slices.Equal(s.Millrace.tenants(t), want) })
	s.restart(t)
	eventually(t, "all are back", func() bool { return slices.Equal(s.Millrace.tenants(t), want) })
}

// handIn sends one bulk message, after a login if there is one.
func handIn(t *testing.T, addr, login string) {
	t.Helper()
	c, err := smtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if login != "" {
		err = c.Auth(smtp.PlainAuth("", login, "secret", "127.0.0.1"))
	}
	err = errors.Join(err, c.Mail("news@sender.test"), c.Rcpt("joe@far.test"))
	w, dataErr := c.Data()
	if err = errors.Join(err, dataErr); err != nil {
		t.Fatal(err)
	}
	_, err = io.WriteString(w, "From: news@sender.test\r\nList-Id: <l.sender.test>\r\nList-Unsubscribe: <https://sender.test>\r\n\r\nhello\r\n")
	if err := errors.Join(err, w.Close(), c.Quit()); err != nil {
		t.Fatal(err)
	}
}

// tenants are those of the messages that wait, in the order of the alphabet.
func (d *Millrace) tenants(t *testing.T) (all []string) {
	t.Helper()
	out, err := d.Run("queue", "list", "--json")
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for lines := json.NewDecoder(strings.NewReader(out)); ; {
		var l relay.Listing
		if err := lines.Decode(&l); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		if l.Flow != "l.sender.test" || strings.Contains(l.Rule, "/") {
			t.Errorf("%+v", l)
		}
		all = append(all, l.Tenant)
	}
	slices.Sort(all)
	return all
}

// authenticate starts a server of logins that lets everybody in, with the protocol that Postfix speaks with Dovecot. It returns the
// server's address.
func authenticate(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			go letIn(nc)
		}
	}()
	return l.Addr().String()
}

// letIn answers every AUTH with the name that it gives, until the client hangs up.
func letIn(nc net.Conn) {
	defer nc.Close()
	fmt.Fprint(nc, "VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
	for in := bufio.NewScanner(nc); in.Scan(); {
		words := strings.Split(in.Text(), "\t")
		if words[0] != "AUTH" {
			continue
		}
		_, response, _ := strings.Cut(in.Text(), "\tresp=")
		text, _ := base64.StdEncoding.DecodeString(response)
		fmt.Fprintf(nc, "OK\t%s\tuser=%s\n", words[1], strings.Split(string(text)+"\x00", "\x00")[1])
	}
}
