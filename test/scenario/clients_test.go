package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gosmtp "github.com/emersion/go-smtp"

	"github.com/millrace/millrace/test/daemon"
	"github.com/millrace/millrace/test/process"
)

// clientMessage is what each client is given, with LF, as a program of this system writes mail. %s is the client's name.
const clientMessage = "From: News <news@sender.test>\nTo: you@far.test\nSubject: to you\nDate: Thu, 26 Nov 2026 06:00:00 +0000\nMessage-ID: <%s@sender.test>\nList-Id: <l.sender.test>\n\n" + clientBody

const clientBody = "Hello\n.\n..\n.dots\n\n a blank before\nend\n"

// mailClient is a program that hands in a message.
type mailClient struct {
	program string // "": this one
	hand    func(t *testing.T, addr, message string) *exec.Cmd
}

var mailClients = map[string]mailClient{
	"go-smtp": {"", goSMTP},
	"smtplib": {"python3", func(_ *testing.T, addr, message string) *exec.Cmd {
		return exec.Command("python3", "-c", "import smtplib, sys\nc = smtplib.SMTP('127.0.0.1', int(sys.argv[1]))\nc.sendmail('news@sender.test', ['smtplib@far.test'], sys.argv[2])\nc.quit()", portOf(addr), message)
	}},
	"msmtp": {"msmtp", func(_ *testing.T, addr, message string) *exec.Cmd {
		cmd := exec.Command("msmtp", "--file=/dev/null", "--host=127.0.0.1", "--port="+portOf(addr), "--from=news@sender.test", "--", "msmtp@far.test")
		cmd.Stdin = strings.NewReader(message)
		return cmd
	}},
	"swaks": {"swaks", func(t *testing.T, addr, message string) *exec.Cmd {
		return exec.Command("swaks", "--server", addr, "--from", "news@sender.test", "--to", "swaks@far.test", "--pipeline", "--data", fileWith(t, message))
	}},
	"nodemailer": {"node", func(_ *testing.T, addr, message string) *exec.Cmd {
		script := "require('nodemailer').createTransport({host: '127.0.0.1', port: +process.argv[1]}).sendMail({raw: process.argv[2], " +
			"envelope: {from: 'news@sender.test', to: 'nodemailer@far.test'}}).catch(e => { console.error(e); process.exitCode = 1 })"
		cmd := exec.Command("node", "-e", script, portOf(addr), message)
		cmd.Env = append(os.Environ(), "NODE_PATH=/usr/share/nodejs") // where Debian keeps it
		return cmd
	}},
	"swaks-lmtp": {"swaks", func(t *testing.T, addr, message string) *exec.Cmd {
		return exec.Command("swaks", "--server", addr, "--protocol", "LMTP", "--from", "news@sender.test", "--to", "swaks-lmtp@far.test", "--data", fileWith(t, message))
	}},
}

// missing says what this machine lacks for a client.
func (c mailClient) missing(name string) error {
	if c.program == "" {
		return nil
	}
	_, err := exec.LookPath(c.program)
	if err == nil && name == "nodemailer" {
		_, err = os.Stat("/usr/share/nodejs/nodemailer")
	}
	return err
}

func portOf(addr string) string { _, port, _ := strings.Cut(addr, ":"); return port }

func fileWith(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "message")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return "@" + name
}

// goSMTP hands the message in by itself.
func goSMTP(t *testing.T, addr, message string) *exec.Cmd {
	t.Helper()
	crlf := strings.ReplaceAll(message, "\n", "\r\n")
	c, err := gosmtp.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.SendMail("news@sender.test", []string{"go-smtp@far.test"}, strings.NewReader(crlf)), c.Quit()); err != nil {
		t.Error(err)
	}
	return nil
}

// TestClients: the clients that applications use hand their mail to the SMTP door, and what they hand in arrives.
func TestClients(t *testing.T) {
	addr, err := process.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	back, err := process.FreeAddr() // what is not taken goes nowhere
	if err != nil {
		t.Fatal(err)
	}
	s := newScene(t, Options{Keep: true, Config: fmt.Sprintf("smtpd.submission = [\"inet:%s\"]\nsmtpd.reinject = %q\n", addr, daemon.NextHop(back))})
	for name, c := range mailClients {
		t.Run(name, func(t *testing.T) {
			if err := c.missing(name); err != nil && os.Getenv("CI") != "" {
				t.Fatal(err)
			} else if err != nil {
				t.Skip(err, "; test/run installs it")
			}
			if cmd := c.hand(t, addr, fmt.Sprintf(clientMessage, name)); cmd != nil {
				if out, err := cmd.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			if t.Failed() {
				return
			}
			s.fromClient(t, name)
		})
	}
}

// fromClient waits for the message of a client and looks at it.
func (s *Scene) fromClient(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	for n := 1; ; n++ {
		if err := s.Sink.Wait(ctx, n); err != nil {
			t.Fatalf("nothing has come: %v", err)
		}
		for d := range s.Sink.All() {
			if d.Rcpt != name+"@far.test" {
				continue
			}
			want := "\r\n\r\n" + strings.ReplaceAll(clientBody, "\n", "\r\n")
			if d.Listener != "bulk" || d.From != "news@sender.test" || !bytes.HasSuffix(bytes.TrimRight(d.Raw, "\r\n"), []byte(strings.TrimRight(want, "\r\n"))) {
				t.Errorf("from %s by %s: %q", d.From, d.Listener, d.Raw)
			}
			return
		}
	}
}
