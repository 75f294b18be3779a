package licence

import (
	"bytes"
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"
)

// Client tells a licence server of the numbers of a Meter and brings slices of an allowance from it. While the server does not answer, the
// slice that is held stays in force until it ends.
type Client struct {
	meter   *Meter
	version string
	post    func(ctx context.Context, cfg ServerConfig, body []byte) ([]byte, error) // postReport; tests put their own here
}

// NewClient returns a client of the server that the Meter's configuration names. version is that of the program.
func NewClient(m *Meter, version string) *Client {
	return &Client{meter: m, version: version, post: postReport}
}

// How long the client waits after a failure: the first wait, and the longest.
const (
	firstWait = 5 * time.Second
	mostWait  = 10 * time.Minute
)

// Run asks as often as the configuration says, sooner when half of the slice is used, and after a failure in growing intervals. It asks at
// once when the configuration is new: an admin who has mended the failure does not wait. It ends with ctx. It does nothing while there is
// no server.
func (c *Client) Run(ctx context.Context) {
	wait, thirst, failures := time.Duration(0), c.meter.thirst, 0
	for {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-thirst:
			timer.Stop()
		case <-c.meter.renewed:
			timer.Stop()
			failures = 0
		case <-timer.C:
		}
		cfg, ready := c.meter.server()
		thirst, wait = c.meter.thirst, mostWait
		if !ready {
			if failures = 0; cfg.URL != "" {
				wait = firstWait
			}
			continue
		}
		switch err := c.ask(ctx, cfg); {
		case err == nil:
			failures, wait = 0, spread(cfg.Every)
		default:
			failures++
			thirst, wait = nil, spread(min(firstWait<<min(failures-1, 10), mostWait))
		}
	}
}

// spread is about d: servers that were started together do not ask together.
func spread(d time.Duration) time.Duration { return d - time.Duration(rand.Int64N(int64(d)/5+1)) }

// server is the server to ask; ready is false while there is none, or nothing to tell it.
func (m *Meter) server() (cfg ServerConfig, ready bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cfg.Server, m.begun && m.cfg.Server.URL != "" && m.accounts[""] != nil
}

// ask asks once, and notes how that went.
func (c *Client) ask(ctx context.Context, cfg ServerConfig) error {
	err := c.exchange(ctx, cfg)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	m := c.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	before := m.asked.failure
	if m.asked.failure = ""; err != nil {
		m.asked.failure = err.Error()
	} else {
		m.asked.at = time.Now()
	}
	switch {
	case m.asked.failure == before:
	case err != nil:
		m.say("no slice came from the licence server; the one that is held stays in force until it ends", err)
	default:
		m.say("the licence server answers again", nil)
	}
	return err
}

// exchange sends a report and takes the slice of the answer.
func (c *Client) exchange(ctx context.Context, cfg ServerConfig) error {
	body, err := json.Marshal(c.meter.report(c.version))
	if err != nil {
		return err
	}
	text, err := c.post(ctx, cfg, body)
	if err != nil {
		return err
	}
	var a Answer
	if err := decodeAnswer(text, &a); err != nil {
		return err
	}
	if a.Refused != "" || len(a.Slice) == 0 {
		return fmt.Errorf("%w: %q", errNoSlice, cut(a.Refused))
	}
	return c.meter.takeSlice(a.Slice, time.Now())
}

// decodeAnswer reads an answer as strictly as a licence: its slice is base64 to JSON, a plain value.
func decodeAnswer(text []byte, a *Answer) error {
	var plain struct {
		Slice   string `json:"slice"`
		Refused string `json:"refused"`
	}
	if err := decode(text, &plain); err != nil {
		return fmt.Errorf("the answer of the licence server: %w", err)
	}
	slice, err := unbase64(plain.Slice)
	a.Slice, a.Refused = slice, plain.Refused
	return err
}

// minRSA is the least length of an RSA key, in bits.
const minRSA = 2048

// strongKeys refuses a chain with a short RSA key.
func strongKeys(s tls.ConnectionState) error {
	for _, chain := range s.VerifiedChains {
		for _, c := range chain {
			if k, ok := c.PublicKey.(*rsa.PublicKey); ok && k.N.BitLen() < minRSA {
				return fmt.Errorf("the key of %q has %d bits, less than %d", c.Subject.CommonName, k.N.BitLen(), minRSA)
			}
		}
	}
	return nil
}

// postTimeout is for the whole of one question.
const postTimeout = 15 * time.Second

// postReport sends a report and returns the body of the answer, of which it reads MaxFile bytes at most. It follows no redirect: the token
// is for this server alone.
func postReport(ctx context.Context, cfg ServerConfig, body []byte) ([]byte, error) {
	token, err := readSecret(cfg.TokenFile)
	if err != nil {
		return nil, err
	}
	client, err := httpClient(cfg)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(cfg.URL, "/")+reportPath, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, MaxFile+1))
	switch {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the licence server says %s: %q", resp.Status, cut(string(text)))
	case len(text) > MaxFile:
		return nil, ErrLarge
	}
	return text, nil
}

// httpClient trusts the authorities of the configuration, or those of the system. The program as a whole lets old receivers of mail use
// short keys and SHA-1 (see go.mod), and a token deserves better: TLS 1.3 has no SHA-1, and strongKeys looks at the keys.
func httpClient(cfg ServerConfig) (*http.Client, error) {
	trust := &tls.Config{MinVersion: tls.VersionTLS13, VerifyConnection: strongKeys}
	if cfg.CAFile != "" {
		pem, _, err := readFile(cfg.CAFile)
		if err != nil {
			return nil, err
		}
		trust.RootCAs = x509.NewCertPool()
		if !trust.RootCAs.AppendCertsFromPEM(pem) {
			return nil, errors.New(cfg.CAFile + ": has no certificate in PEM")
		}
	}
	return &http.Client{
		Transport:     &http.Transport{TLSClientConfig: trust, Proxy: http.ProxyFromEnvironment, MaxResponseHeaderBytes: MaxFile},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, nil
}
