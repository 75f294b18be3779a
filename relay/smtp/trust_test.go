package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"testing"
	"time"
)

func TestSuiteName(t *testing.T) {
	for _, tt := range []struct {
		version, suite uint16
		want           string
	}{
		{tls.VersionTLS13, tls.TLS_AES_128_GCM_SHA256, "TLSv1.3 with cipher TLS_AES_128_GCM_SHA256 (128/128 bits)"},
		{tls.VersionTLS13, tls.TLS_CHACHA20_POLY1305_SHA256, "TLSv1.3 with cipher TLS_CHACHA20_POLY1305_SHA256 (256/256 bits)"},
		{tls.VersionTLS12, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, "TLSv1.2 with cipher ECDHE-RSA-AES256-GCM-SHA384 (256/256 bits)"},
		{tls.VersionTLS12, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, "TLSv1.2 with cipher ECDHE-ECDSA-CHACHA20-POLY1305 (256/256 bits)"},
		{tls.VersionTLS12, tls.TLS_RSA_WITH_AES_128_CBC_SHA256, "TLSv1.2 with cipher AES128-SHA256 (128/128 bits)"},
		{tls.VersionTLS11, tls.TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA, "TLSv1.1 with cipher ECDHE-RSA-AES128-SHA (128/128 bits)"},
		{tls.VersionTLS10, tls.TLS_RSA_WITH_AES_256_GCM_SHA384, "TLSv1 with cipher AES256-GCM-SHA384 (256/256 bits)"},
		{tls.VersionTLS10, tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, "TLSv1 with cipher DES-CBC3-SHA (112/168 bits)"},
		{tls.VersionTLS10, tls.TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA, "TLSv1 with cipher ECDHE-RSA-DES-CBC3-SHA (112/168 bits)"},
		{tls.VersionTLS10, tls.TLS_ECDHE_RSA_WITH_RC4_128_SHA, "TLSv1 with cipher ECDHE-RSA-RC4-SHA (128/128 bits)"},
	} {
		if got := suiteName(tt.version, tt.suite); got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
	}
}

// issued makes a CA, and a certificate of it for mx.example that is valid for that long.
func issued(t *testing.T, life time.Duration) (*x509.CertPool, tls.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: ca.NotBefore, NotAfter: time.Now().Add(life), DNSNames: []string{"mx.example"}}
	der, err := x509.CreateCertificate(rand.Reader, leaf, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.CreateCertificate(rand.Reader, ca, ca, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(root)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(parsed)
	return roots, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestSecurity(t *testing.T) {
	roots, cert := issued(t, time.Hour)
	_, expired := issued(t, -time.Hour)
	for _, tt := range []struct {
		name, host string
		cert       tls.Certificate
		roots      *x509.CertPool
		trust      string
	}{
		{"of a known CA, for this host", "mx.example", cert, roots, "Verified"},
		{"with the dot of DNS", "mx.example.", cert, roots, "Verified"},
		{"of a known CA, for another host", "mx.other.example", cert, roots, "Trusted"},
		{"of a CA that this system does not know", "mx.example", cert, nil, "Untrusted"},
		{"expired", "mx.example", expired, roots, "Untrusted"},
		{"signed by itself", "mx.example", certificate(t), roots, "Untrusted"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			to := encrypts(t, &tls.Config{Certificates: []tls.Certificate{tt.cert}, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}})
			to.Host = tt.host
			cfg := testConfig()
			cfg.TLSConfig = &tls.Config{RootCAs: tt.roots}
			trust, suite := dial(t, to, cfg).Security()
			if want := "TLSv1.2 with cipher ECDHE-ECDSA-AES128-GCM-SHA256 (128/128 bits)"; trust != tt.trust || suite != want {
				t.Errorf("%s, %s; want %s, %s", trust, suite, tt.trust, want)
			}
		})
	}
	c := dial(t, encrypts(t, &tls.Config{Certificates: []tls.Certificate{cert}}), &Config{Hostname: "client.example", TLS: TLSNone})
	if trust, suite := c.Security(); trust+suite != "" {
		t.Errorf("in clear: %q, %q", trust, suite)
	}
}
