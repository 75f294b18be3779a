package smtp

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"
)

// certificate makes a self-signed certificate that names nobody and has expired.
// Opportunistic TLS must take it.
func certificate(t testing.TB) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return selfSigned(t, key)
}

func selfSigned(t testing.TB, key crypto.Signer) tls.Certificate {
	t.Helper()
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(-time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestTLS(t *testing.T) {
	cert := certificate(t)
	for _, max := range []uint16{tls.VersionTLS10, tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(max), func(t *testing.T) {
			bodies := make(chan string, 2)
			to := listen(t, func(p *peer) {
				p.say("220 mx.example")
				answer(p, "250-mx.example\r\n250-STARTTLS\r\n250 SIZE 1", nil)
				p.say("220 go")
				s := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS10, MaxVersion: max})
				answer(newPeer(s), "250-mx.example\r\n250 PIPELINING", func(b string) { bodies <- b })
			})
			c := dial(t, to, testConfig())
			if x := c.Extensions(); x.Size != -1 || x.StartTLS || !x.Pipelining {
				t.Errorf("extensions were not learned anew: %+v", x)
			}
			big := message("b@b.example")
			big.Content = [][]byte{[]byte(strings.Repeat("0123456789\r\n.123456789\r\n", 10000))}
			if _, err := deliver(c, big, message("b@b.example")); err != nil {
				t.Fatal(err)
			}
			if got := <-bodies; strings.ReplaceAll(got, "..", ".") != string(big.Content[0]) {
				t.Error("the large body was altered")
			}
			<-bodies
			if s, ok := c.TLS(); !ok || s.Version != max || c.TLSBroken() {
				t.Errorf("TLS: %v, broken %v", ok, c.TLSBroken())
			}
			if !c.Alive() {
				t.Error("not alive")
			}
			c.Quit()
		})
	}
}

// When the handshake fails the same address is tried again, in clear.
func TestTLSBroken(t *testing.T) {
	cert := certificate(t)
	faults := map[string]func(*peer){
		"alert":      func(p *peer) { _, _ = p.nc.Write([]byte("\x15\x03\x01\x00\x02\x02\x28")) },
		"garbage":    func(p *peer) { p.say("HTTP/1.0 400 what is this") },
		"disconnect": func(p *peer) {},
		"lost after the handshake": func(p *peer) {
			s := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}})
			_ = s.Handshake()
		},
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			sessions := 0
			to := listen(t, func(p *peer) {
				mu.Lock()
				sessions++
				mu.Unlock()
				p.say("220 mx.example")
				answer(p, "250-mx.example\r\n250 STARTTLS", func(string) {})
				p.say("220 go")
				fault(p)
			})
			c := dial(t, to, testConfig())
			if _, ok := c.TLS(); ok || !c.TLSBroken() {
				t.Errorf("TLS %v, broken %v", ok, c.TLSBroken())
			}
			if _, err := deliver(c, message("b@b.example")); err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if sessions != 2 {
				t.Errorf("%d sessions", sessions)
			}
		})
	}
}

// A server so old that it has only RSA key exchange still gets more than clear text.
func TestTLSOldSuites(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	cert := selfSigned(t, key)
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
		p.say("220 go")
		s := tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS12,
			CipherSuites: []uint16{tls.TLS_RSA_WITH_AES_128_CBC_SHA}})
		answer(newPeer(s), "250 mx.example", nil)
	})
	c := dial(t, to, testConfig())
	if s, ok := c.TLS(); !ok || s.CipherSuite != tls.TLS_RSA_WITH_AES_128_CBC_SHA {
		t.Errorf("TLS %v, suite %s", ok, tls.CipherSuiteName(s.CipherSuite))
	}
}

// The peer's refusal of its own offer is remembered as well; the session stays.
func TestTLSRefused(t *testing.T) {
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
		p.say("454 4.7.0 not now")
		answer(p, "", func(string) {})
	})
	c := dial(t, to, testConfig())
	if _, ok := c.TLS(); ok || !c.TLSBroken() {
		t.Errorf("TLS %v, broken %v", ok, c.TLSBroken())
	}
	if _, err := deliver(c, message("b@b.example")); err != nil {
		t.Error(err)
	}
}

// The caller's own settings hold, and its config is not changed.
func TestTLSConfig(t *testing.T) {
	base := &tls.Config{MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
	cfg := testConfig()
	cfg.TLSConfig = base
	got := session{cfg: cfg}.tlsConfig("mx.example.")
	if got.MinVersion != tls.VersionTLS12 || got.ClientSessionCache != base.ClientSessionCache || got.ServerName != "mx.example" || !got.InsecureSkipVerify {
		t.Errorf("got %+v", got)
	}
	if base.ServerName != "" || base.InsecureSkipVerify || base.CipherSuites != nil {
		t.Error("the base was changed")
	}
	if got := serverName("192.0.2.1"); got != "" {
		t.Errorf("SNI %q", got)
	}
}

func TestTLSNone(t *testing.T) {
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
	})
	cfg := testConfig()
	cfg.TLS = TLSNone
	c := dial(t, to, cfg)
	if _, ok := c.TLS(); ok || c.TLSBroken() {
		t.Error("TLS was tried")
	}
}

// TestTLSNoChunks: under TLS nobody sees a reply too many before the next batch leaves, so that all mail goes by DATA.
func TestTLSNoChunks(t *testing.T) {
	cert := certificate(t)
	to := listen(t, func(p *peer) {
		p.say("220 mx.example")
		answer(p, "250-mx.example\r\n250 STARTTLS", nil)
		p.say("220 go")
		answer(newPeer(tls.Server(p.nc, &tls.Config{Certificates: []tls.Certificate{cert}})), chunking, func(string) {})
	})
	c := dial(t, to, testConfig())
	c.Chunk(batchMessages)
	back, err := deliver(c, messages(8)...)
	checkSent(t, back, err, 8)
	for i, tx := range back {
		if !c.Extensions().Chunking || tx.Batch != 0 {
			t.Errorf("message %d left in a batch of %d", i, tx.Batch)
		}
	}
}
