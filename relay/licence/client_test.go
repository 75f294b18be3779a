package licence

import (
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestTheServerAnswers over HTTPS to those it knows.
func TestTheServerAnswers(t *testing.T) {
	x := newHub(t, 1000, 100, time.Hour)
	dir := t.TempDir()
	tokens, mine, ca := filepath.Join(dir, "tokens"), filepath.Join(dir, "token"), filepath.Join(dir, "ca.pem")
	os.WriteFile(tokens, []byte("# servers\nmta1 "+secret+"\nadmin admin-"+secret+"\n"), 0o600)
	os.WriteFile(mine, []byte(secret+"\n"), 0o600)
	s, err := NewServer(x.pool, x.offer, x.key, tokens, func(string, ...any) {})
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewTLSServer(s)
	defer web.Close()
	os.WriteFile(ca, pemOf(web), 0o600)
	m := newMeterage(t, func(c *Config) {
		c.Keys = []string{x.key.Public().String()}
		c.Server = ServerConfig{URL: web.URL, TokenFile: mine, CAFile: ca, Every: time.Minute}
	})
	c := NewClient(m.Meter, "test")
	if err := c.ask(t.Context(), m.cfg.Server); err != nil {
		t.Fatal(err)
	}
	if got := m.sends("", 1000); got != 100 {
		t.Errorf("%d", got)
	}
	for _, tt := range []struct {
		method, path, token, body string
		want                      int
	}{
		{"POST", reportPath, "", "{}", 401},
		{"POST", reportPath, "wrong" + secret, "{}", 401},
		{"POST", reportPath, secret, `{"installation":"i","hostname":"h","sent":1,"left":0}`, 200},
		{"POST", reportPath, secret, `{"installation":"i","sent":1,"sent":2,"left":0}`, 400},
		{"POST", reportPath, secret, `{"installation":"","sent":1,"left":0}`, 400},
		{"POST", reportPath, secret, `{"installation":"i","sent":-1,"left":0}`, 400},
		{"POST", reportPath, secret, `{"installation":"i","sent":1,"left":0,"x":1}`, 400},
		{"POST", reportPath, secret, strings.Repeat(" ", maxReport+1), 400},
		{"POST", reportPath, "admin-" + secret, `{"installation":"i","sent":1,"left":0}`, 404},
		{"GET", reportPath, secret, "", 404},
		{"GET", statisticsPath, secret, "", 404},
		{"GET", statisticsPath, "admin-" + secret, "", 200},
	} {
		req, _ := http.NewRequest(tt.method, web.URL+tt.path, strings.NewReader(tt.body))
		if tt.token != "" {
			req.Header.Set("Authorization", "Bearer "+tt.token)
		}
		resp, err := web.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != tt.want {
			t.Errorf("%s %s %.60q: %d %s", tt.method, tt.path, tt.body, resp.StatusCode, text)
		}
		if tt.path == statisticsPath && tt.want == 200 && bytes.Count(text, []byte("\n")) != 2 {
			t.Errorf("%s", text)
		}
	}
}

// TestTheClientIsCareful: it follows no redirect with its token, reads no endless answer, and shows no token to a stranger.
func TestTheClientIsCareful(t *testing.T) {
	mine := filepath.Join(t.TempDir(), "token")
	os.WriteFile(mine, []byte(secret), 0o600)
	endless := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for range 1 << 12 {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	})
	elsewhere := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.1:1/", http.StatusFound)
	})
	for _, tt := range []struct {
		h    http.Handler
		want string
	}{{endless, "64 KB"}, {elsewhere, "302 Found"}, {http.NotFoundHandler(), "404 Not Found"}} {
		web := httptest.NewServer(tt.h)
		_, err := postReport(t.Context(), ServerConfig{URL: web.URL, TokenFile: mine}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v, want %q", err, tt.want)
		}
		web.Close()
	}
	web := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Error("the token was shown") }))
	web.Config.ErrorLog = quiet
	defer web.Close()
	if _, err := postReport(t.Context(), ServerConfig{URL: web.URL, TokenFile: mine}, nil); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("%v", err)
	}
	os.Chmod(mine, 0o644)
	if _, err := postReport(t.Context(), ServerConfig{URL: web.URL, TokenFile: mine}, nil); err == nil || !strings.Contains(err.Error(), "chmod o=") {
		t.Errorf("%v", err)
	}
}

// TestNoTokenInClear: without TLS only this host is asked, and a name that begins like its address is not this host.
func TestNoTokenInClear(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:8443": "", "http://[::1]": "", "http://localhost": "", "https://127.example.org": "",
		"http://127.example.org": "in clear to 127.example.org", "http://10.0.0.1": "in clear to 10.0.0.1",
	} {
		c := DefaultConfig()
		c.Keys = []string{newKey(t).Public().String()}
		c.Server.URL, c.Server.TokenFile = url, "/dev/null"
		if err := c.Validate(); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
	}
}

func pemOf(web *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: web.Certificate().Raw})
}

// TestAReloadAsksAtOnce: after many failures the client waits for minutes, and an admin who has mended the configuration does not.
func TestAReloadAsksAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 1000, 100, 24*time.Hour)
		s := x.serve(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		x.down.Store(true)
		go s.client.Run(ctx) // ends with ctx
		time.Sleep(3 * time.Hour)
		x.down.Store(false)
		if err := s.Reload(s.cfg, nil); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if n := x.asked.Load(); n != 1 || s.sends("", 10) != 10 {
			t.Errorf("asked %d times, %+v", n, s.Status())
		}
	})
}

// TestAnotherSliceBeforeTheFirstIsUsed: a server that sends fast never waits for the next minute.
func TestAnotherSliceBeforeTheFirstIsUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newHub(t, 100_000, 100, 24*time.Hour)
		s := x.serve(t, "a")
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go s.client.Run(ctx) // ends with ctx
		synctest.Wait()
		for range 200 {
			if got := s.sends("", 49); got != 49 {
				t.Fatalf("%d of 49, at %d", got, s.count.sent[""])
			}
			synctest.Wait()
		}
	})
}
