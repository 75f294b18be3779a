package smtp

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
)

// maxIntermediates bounds the certificates of a peer that are looked at: the peer decides how many there are, and each costs
// time.
const maxIntermediates = 5

// Security tells of the encryption in the words of Postfix's log. trust is "Verified" when the peer's certificate leads to a
// CA of this system and has the name of the host, "Trusted" when it only leads to a CA, and "Untrusted" otherwise. suite is
// like "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)". Both are "" in clear. It checks signatures: ask once.
func (c *Conn) Security() (trust, suite string) {
	if c.tls == nil {
		return "", ""
	}
	state := c.tls.ConnectionState()
	return trustIn(state.PeerCertificates, c.roots, c.to.Host), suiteName(state.Version, state.CipherSuite)
}

// trustIn judges the certificates of a peer; roots is nil for those of the system.
func trustIn(certs []*x509.Certificate, roots *x509.CertPool, host string) string {
	if len(certs) == 0 {
		return "Anonymous"
	}
	opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
	for _, c := range certs[1:min(len(certs), 1+maxIntermediates)] {
		opts.Intermediates.AddCert(c)
	}
	switch _, err := certs[0].Verify(opts); {
	case err != nil:
		return "Untrusted"
	case certs[0].VerifyHostname(strings.TrimSuffix(host, ".")) != nil:
		return "Trusted"
	}
	return "Verified"
}

// suiteName names version and cipher suite as OpenSSL does, which gives Postfix its words: statistics over both logs then have
// one entry for each.
func suiteName(version, suite uint16) string {
	name := tls.CipherSuiteName(suite)
	bits := "256/256"
	switch {
	case strings.Contains(name, "3DES"):
		bits = "112/168"
	case strings.Contains(name, "_128_"):
		bits = "128/128"
	}
	if version != tls.VersionTLS13 {
		name = openSSLName.Replace(name)
	}
	protocol := strings.TrimSuffix(strings.Replace(tls.VersionName(version), "TLS ", "TLSv", 1), ".0")
	return fmt.Sprintf("%s with cipher %s (%s bits)", protocol, name, bits)
}

// openSSLName turns a name of the standard, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", into "ECDHE-RSA-AES128-SHA".
var openSSLName = strings.NewReplacer("TLS_RSA_WITH_3DES_EDE_CBC_SHA", "DES-CBC3-SHA", "3DES_EDE_CBC_SHA", "DES-CBC3-SHA",
	"TLS_RSA_WITH_", "", "TLS_", "", "_WITH_", "-", "AES_128_CBC", "AES128", "AES_256_CBC", "AES256", "AES_128", "AES128", "AES_256", "AES256",
	"CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305", "RC4_128_SHA", "RC4-SHA", "_", "-")
