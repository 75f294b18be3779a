package licence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Paths of the licence server.
const (
	reportPath     = "/v1/report"
	statisticsPath = "/v1/statistics"
)

// Server hands out slices of an allowance to servers that it knows by a token. It is an http.Handler; who serves it sees to TLS.
//
//	POST /v1/report      a Report, answered with an Answer
//	GET  /v1/statistics  one Statistic for each installation, for the holder of the token "admin"
type Server struct {
	offer  Offer
	key    PrivateKey
	tokens []token
	log    func(text string, args ...any)

	mu   sync.Mutex
	pool *Pool
}

// token is the secret of one server. Its hash is compared, in a time that does not depend on where two differ.
type token struct {
	server string
	hash   [sha256.Size]byte
}

// admin is the name of the token whose holder sees the statistics.
const admin = "admin"

// NewServer returns a server. tokens is the path of its file of tokens, see readTokens. log is told of what it does.
func NewServer(pool *Pool, offer Offer, key PrivateKey, tokens string, log func(text string, args ...any)) (*Server, error) {
	if err := offer.Validate(); err != nil {
		return nil, err
	}
	all, err := readTokens(tokens)
	if err != nil {
		return nil, err
	}
	return &Server{offer: offer, key: key, tokens: all, log: log, pool: pool}, nil
}

// minToken is the least length of a token: "openssl rand -hex 16" makes 32.
const minToken = 24

// readTokens reads a file with one server a line: its name, a blank, and its token. A line that begins with # is a comment.
func readTokens(path string) (all []token, err error) {
	text, err := readSecret(path)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || words[0][0] == '#':
			continue
		case len(words) != 2:
			return nil, fmt.Errorf("%s:%d: write the name of a server and its token", path, n)
		case len(words[1]) < minToken:
			return nil, fmt.Errorf("%s:%d: the token of %s is shorter than %d characters; openssl rand -hex 16 makes one", path, n, words[0], minToken)
		case seen[words[0]] || seen[" "+words[1]]:
			return nil, fmt.Errorf("%s:%d: the name or the token stands above already", path, n)
		}
		seen[words[0]], seen[" "+words[1]] = true, true
		all = append(all, token{words[0], sha256.Sum256([]byte(words[1]))})
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: names no server", path)
	}
	return all, lines.Err()
}

// who is the server that a request comes from; "" for nobody. All tokens are compared, whichever fits.
func (s *Server) who(r *http.Request) (name string) {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	hash := sha256.Sum256([]byte(given))
	for _, t := range s.tokens {
		if subtle.ConstantTimeCompare(hash[:], t.hash[:]) == 1 {
			name = t.server
		}
	}
	return name
}

// ServeHTTP implements http.Handler.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := s.who(r)
	switch {
	case name == "":
		s.log("a request without a token that is known", "from", r.RemoteAddr)
		http.Error(w, "no token that is known", http.StatusUnauthorized)
	case r.Method == http.MethodPost && r.URL.Path == reportPath && name != admin:
		s.serveReport(w, r, name)
	case r.Method == http.MethodGet && r.URL.Path == statisticsPath && name == admin:
		s.serveStatistics(w)
	default:
		http.Error(w, "not for this token", http.StatusNotFound)
	}
}

// maxReport bounds a report.
const maxReport = 8 << 10

// serveReport answers when the pool is durable.
func (s *Server) serveReport(w http.ResponseWriter, r *http.Request, name string) {
	var report Report
	text, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReport))
	if err == nil {
		err = decode(text, &report)
	}
	if err == nil {
		err = report.validate()
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	answer, err := s.pool.Report(name, report, s.offer, s.key, time.Now())
	sent, aside := s.pool.Used(time.Now())
	s.mu.Unlock()
	if err != nil {
		s.log("the pool could not be made durable, and nothing was given", "error", err)
		http.Error(w, "not now", http.StatusServiceUnavailable)
		return
	}
	s.log("report", "server", name, "hostname", report.Hostname, "sent", report.Sent, "left", report.Left, "refused", answer.Refused,
		"used", sent, "aside", aside, "total", s.offer.Total)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(answer) // a client that is gone asks again
}

// maxID bounds the id of an installation.
const maxID = 64

func (r Report) validate() error {
	for name, word := range map[string]string{"installation": r.Installation, "hostname": r.Hostname, "version": r.Version, "holding": r.Holding} {
		if len(word) > maxWord || strings.ContainsFunc(word, unprintable) {
			return fmt.Errorf("%s: %q is no word", name, cut(word))
		}
	}
	switch {
	case r.Installation == "" || len(r.Installation) > maxID:
		return fmt.Errorf("installation: has %d characters, and must have 1 to %d", len(r.Installation), maxID)
	case r.Sent > MaxLimit || r.Left > MaxLimit:
		return fmt.Errorf("sent, left: more than %d", uint64(MaxLimit))
	}
	return nil
}

// serveStatistics writes one object a line.
func (s *Server) serveStatistics(w http.ResponseWriter) {
	s.mu.Lock()
	list := s.pool.Statistics(time.Now())
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	out := json.NewEncoder(w)
	for _, one := range list {
		if out.Encode(one) != nil {
			return
		}
	}
}
