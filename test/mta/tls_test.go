package mta

import (
	"crypto/tls"
	"net/netip"
	"regexp"
	"testing"

	"github.com/millrace/millrace/relay/smtp"
	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/sink"
)

// TestTLSLineIsPostfixs compares the words for an encrypted connection with those of Postfix to the same receiver: statistics
// over both logs must not have two entries for one thing.
func TestTLSLineIsPostfixs(t *testing.T) {
	for name, suite := range map[string]uint16{"1.3": 0, "1.2 AES": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, "1.2 ChaCha": tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256} {
		t.Run(name, func(t *testing.T) {
			far, _, _ := farEnd(t)
			addr, err := far.Listen("127.0.0.1:0", sink.Character{Name: "tls.test", TLS: true})
			if err != nil {
				t.Fatal(err)
			}
			main := map[string]string{"smtp_tls_security_level": "may", "smtp_tls_loglevel": "1"}
			ours := &tls.Config{RootCAs: far.Roots()}
			if suite != 0 {
				main["smtp_tls_protocols"], main["smtp_tls_ciphers"] = "TLSv1.2", "high"
				main["tls_high_cipherlist"] = map[uint16]string{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: "ECDHE-ECDSA-AES256-GCM-SHA384",
					tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256: "ECDHE-ECDSA-CHACHA20-POLY1305"}[suite]
				ours.MaxVersion, ours.CipherSuites = tls.VersionTLS12, []uint16{suite}
			}
			p := startPostfix(t, PostfixConfig{Relay: addr.String(), Main: main})
			send(t, far, load.Config{Addr: p.Addr, Messages: 1})
			said := regexp.MustCompile(`/smtp\[\d+\]: (\S+) TLS connection established to \S+: (\S+ with cipher \S+ \(\S+ bits\))`)
			var theirs []string
			eventually(t, "Postfix's line about TLS, which its syslog may write behind the receiver's answer", func() bool {
				log, err := p.Log()
				if err != nil {
					t.Fatal(err)
				}
				theirs = said.FindStringSubmatch(log)
				return theirs != nil
			})
			conn, err := smtp.Dial(t.Context(), smtp.Addr{Host: "host.test", AddrPort: netip.MustParseAddrPort(addr.String())}, &smtp.Config{
				Hostname: "client.test", TLS: smtp.TLSOpportunistic, TLSConfig: ours,
			})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			trust, words := conn.Security()
			if name == "1.3" { // the two clients may prefer different ciphers there
				words, theirs[2] = cutCipher(words), cutCipher(theirs[2])
			}
			if words != theirs[2] || trust != "Verified" || theirs[1] != "Untrusted" {
				t.Errorf("ours, which knows the CA: %s, %s; Postfix, which does not: %s, %s", trust, words, theirs[1], theirs[2])
			}
		})
	}
}

// cutCipher leaves the form of a cipher's name.
func cutCipher(words string) string {
	return regexp.MustCompile(`(AES_\d+_GCM|CHACHA20_POLY1305)_SHA\d+ \((\d+)/(\d+) bits`).ReplaceAllString(words, "...")
}
