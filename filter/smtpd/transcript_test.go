package smtpd

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"flag"
	"io"
	"math/big"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/millrace/millrace/test/sink"
)

var update = flag.Bool("update", false, "write what the door says into the transcripts")

// TestTranscripts plays testdata/transcript. A file is a dialogue: "C: " is a line of the client, "S: " one of the door, "# " a remark,
// "set " what is different from DefaultConfig, "TLS" where both go on in TLS, and "S: END" where the door hangs up. Lines of the client
// that follow each other are sent at once. A line of the client in quotes is Go's, and no CRLF is added; {x*N} is N times x.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/transcript/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p := newPlay(t, string(text))
			p.run()
			if got := p.out.String(); *update {
				if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			} else if got != string(text) {
				t.Errorf("%s\n got:\n%s\nwant:\n%s", file, got, text)
			}
		})
	}
}

// play is one transcript that is played.
type play struct {
	*client
	lines []string
	out   strings.Builder // the transcript as it was
}

func newPlay(t *testing.T, text string) *play {
	p := &play{lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
	r := start(t, func(s *setup) {
		s.bulk.LocalDomains = []string{"home.example"}
		s.mta.Faults = []sink.Fault{{Stage: sink.Rcpt, Match: "nobody@home.example", Do: sink.Reply550, Text: "550 5.1.1 no such user"}}
		for _, line := range p.lines {
			if words, ok := strings.CutPrefix(line, "set "); ok {
				key, value, _ := strings.Cut(words, " ")
				s.set(t, key, value)
			}
		}
	})
	p.client = r.connect()
	return p
}

// set is a line "set key value" of a transcript.
func (s *setup) set(t *testing.T, key, value string) {
	t.Helper()
	n, _ := strconv.Atoi(value)
	switch key {
	case "role":
		s.role = map[string]Role{"proxy": Proxy, "submission": Submission}[value]
	case "no_mta":
		s.noMTA = true
	case "max_rcpts":
		s.config.MaxRcpts = n
	case "max_size":
		s.config.MaxSize = int64(n)
	case "max_errors":
		s.config.MaxErrors = n
	case "max_idle":
		s.config.MaxIdle = n
	case "max_header_bytes":
		s.config.MaxHeaderBytes = n
	case "bare_newline":
		s.config.BareNewline = value
	case "xclient_hosts":
		s.config.XClientHosts = []netip.Prefix{netip.MustParsePrefix(value)}
	case "users":
		hash, _ := bcrypt.GenerateFromPassword([]byte("tanstaafl"), bcrypt.MinCost)
		s.config.Submission = []string{"inet:127.0.0.1:1"} // Validate wants one
		s.config.Users = usersFile(t, 0o600, "tim:"+string(hash))
	case "tls":
		s.config.TLSCert, s.config.TLSKey = certificate(t)
	default:
		t.Fatalf("set %s: there is no such thing", key)
	}
}

// certificate makes files of a certificate and its key.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, k.Public(), k)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

// run plays the lines, and writes down what happens.
func (p *play) run() {
	for len(p.lines) > 0 {
		line := p.lines[0]
		switch {
		case strings.HasPrefix(line, "C: "):
			p.clientLines()
			continue
		case strings.HasPrefix(line, "S: "):
			p.doorLines()
			continue
		case line == "TLS":
			p.startTLS()
		}
		p.lines = p.lines[1:]
		p.out.WriteString(line + "\n")
		if *update && (line == "" || strings.HasPrefix(line, "set")) && len(p.lines) > 0 && strings.HasPrefix(p.lines[0], "C: ") && !strings.Contains(p.out.String(), "S: ") {
			p.whatIsSaid()
		}
	}
}

// clientLines sends all that the client says in one go.
func (p *play) clientLines() {
	var b bytes.Buffer
	for len(p.lines) > 0 && strings.HasPrefix(p.lines[0], "C: ") {
		b.WriteString(wireForm(p.lines[0][len("C: "):]))
		p.out.WriteString(p.lines[0] + "\n")
		p.lines = p.lines[1:]
	}
	p.nc.Write(b.Bytes()) // the door may have hung up: then it says no more
	if *update && (len(p.lines) == 0 || !strings.HasPrefix(p.lines[0], "S: ")) {
		p.whatIsSaid()
	}
}

// wireForm is a line of the client as it is sent.
func wireForm(line string) string {
	text, err := strconv.Unquote(line)
	if err != nil {
		text = line + "\r\n"
	}
	return repeated.ReplaceAllStringFunc(text, func(s string) string {
		m := repeated.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		return strings.Repeat(m[1], n)
	})
}

var repeated = regexp.MustCompile(`\{(.+?)\*(\d+)\}`)

// doorLines reads as many lines as the transcript has.
func (p *play) doorLines() {
	n := 0
	for n < len(p.lines) && strings.HasPrefix(p.lines[n], "S: ") {
		n++
	}
	p.lines = p.lines[n:]
	if *update {
		p.whatIsSaid()
		return
	}
	for range n {
		if !p.hear(20 * time.Second) {
			return
		}
	}
}

// whatIsSaid reads until the door says nothing more.
func (p *play) whatIsSaid() {
	for p.hear(300 * time.Millisecond) {
	}
}

// hear writes down a line of the door, and reports whether there was one.
func (p *play) hear(wait time.Duration) bool {
	p.nc.SetReadDeadline(time.Now().Add(wait))
	line, err := p.in.ReadString('\n')
	switch {
	case err == nil:
		p.out.WriteString("S: " + strings.TrimSuffix(line, "\r\n") + "\n")
		return true
	case errors.Is(err, io.EOF):
		p.out.WriteString("S: END\n")
	case !errors.Is(err, os.ErrDeadlineExceeded):
		p.out.WriteString("S: " + err.Error() + "\n")
	}
	return false
}

// startTLS goes on in TLS.
func (p *play) startTLS() {
	p.nc.SetDeadline(time.Now().Add(20 * time.Second))
	secure := tls.Client(p.nc, &tls.Config{InsecureSkipVerify: true})
	if err := secure.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.nc, p.in = secure, bufio.NewReader(secure)
}
