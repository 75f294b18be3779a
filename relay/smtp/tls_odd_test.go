package smtp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// encrypts is a server that starts TLS as cfg says.
func encrypts(t *testing.T, cfg *tls.Config) Addr {
	return listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", func(string) {})
		p.say("220 go")
		answer(newPeer(tls.Server(p.nc, cfg)), "250 mx.example", func(string) {})
	})
}

// What Go refuses by default is better than clear text.
func TestTLSTakesOddCertificates(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 768)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, cert := range map[string]tls.Certificate{
		"negative serial": negative(t, key), "small RSA key": selfSigned(t, small),
	} {
		for _, max := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(name+"/"+tls.VersionName(max), func(t *testing.T) {
				c := dial(t, encrypts(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: max}), testConfig())
				if _, ok := c.TLS(); !ok || c.TLSBroken() {
					t.Errorf("in clear: %v", c.TLSFault())
				}
			})
		}
	}
}

// negative makes a certificate with the serial number -5. Its signature is wrong by that, which nobody checks here.
func negative(t *testing.T, key crypto.Signer) tls.Certificate {
	cert := selfSigned(t, key)
	der := bytes.Replace(cert.Certificate[0], []byte{2, 1, 1}, []byte{2, 1, 0xfb}, 1)
	if bytes.Equal(der, cert.Certificate[0]) {
		t.Fatal("no serial number found")
	}
	cert.Certificate[0] = der
	return cert
}

// A server that can sign its handshake only with SHA-1 is offered that.
func TestTLSOffersSHA1(t *testing.T) {
	var offered atomic.Bool
	cert := certificate(t)
	dial(t, encrypts(t, &tls.Config{MaxVersion: tls.VersionTLS12, GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
		for _, s := range h.SignatureSchemes {
			if s == tls.PKCS1WithSHA1 {
				offered.Store(true)
			}
		}
		return &tls.Config{Certificates: []tls.Certificate{cert}}, nil
	}}), testConfig())
	if !offered.Load() {
		t.Error("SHA-1 is not offered")
	}
}

// Whatever goes wrong with STARTTLS, the mail goes in clear over the same or another connection, and the connection says
// why.
func TestTLSFault(t *testing.T) {
	for name, tt := range map[string]struct {
		fault    func(*peer)
		want     string
		sessions int32
	}{
		"refused":          {func(p *peer) { p.say("454 4.7.0 no key"); answer(p, "", func(string) {}) }, "STARTTLS: 454 4.7.0 no key", 1},
		"refused for good": {func(p *peer) { p.say("502 what?"); answer(p, "", func(string) {}) }, "STARTTLS: 502 what?", 1},
		"never answered":   {silence, "STARTTLS: TLS failed: timed out: ", 2},
		"closed":           {func(*peer) {}, "STARTTLS: TLS failed: lost connection: ", 2},
		"alert": {func(p *peer) {
			p.say("220 go")
			time.Sleep(50 * time.Millisecond) // behind the reply it would be injected
			_, _ = p.nc.Write([]byte("\x15\x03\x01\x00\x02\x02\x28"))
		}, "STARTTLS: TLS failed: remote error: tls: handshake failure", 2},
		"closed in handshake": {func(p *peer) { p.say("220 go"); p.line() }, "STARTTLS: TLS failed: peer closed the connection in the handshake: ", 2},
		"silent in handshake": {func(p *peer) { p.say("220 go"); silence(p) }, "STARTTLS: TLS failed: handshake timed out: ", 2},
		"injected":            {func(p *peer) { p.say("220 go\r\nnoise") }, "STARTTLS: TLS failed: plaintext after STARTTLS", 2},
	} {
		t.Run(name, func(t *testing.T) {
			var sessions atomic.Int32
			to := listen(t, func(p *peer) {
				sessions.Add(1)
				p.say("220 mx.example")
				answer(p, "250-mx.example\r\n250 STARTTLS", func(string) {})
				tt.fault(p)
			})
			cfg := testConfig()
			cfg.Timeouts.STARTTLS = 300 * time.Millisecond
			c := dial(t, to, cfg)
			if back, err := deliver(c, message("b@b.example")); err != nil || !back[0].Results[0].Sent() {
				t.Errorf("not sent: %v", err)
			}
			if e := c.TLSFault(); e == nil || !strings.HasPrefix(e.Error(), tt.want) || e.Permanent || !c.TLSBroken() {
				t.Errorf("fault %v, want %s", e, tt.want)
			}
			if n := sessions.Load(); n != tt.sessions {
				t.Errorf("%d sessions, want %d", n, tt.sessions)
			}
		})
	}
}
