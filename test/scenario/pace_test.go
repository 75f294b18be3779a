package scenario

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
)

// TestSendmailIsNotSlowed: letters that Millrace leaves with Sendmail take about as long as with Sendmail alone, by TCP and
// by a unix socket. With delayed acknowledgements TCP made them take twenty times as long.
func TestSendmailIsNotSlowed(t *testing.T) {
	mta.Require(t, mta.SendmailPart)
	const most = 6
	alone := sendmailPace(t, func(*Scene) string { return "" })
	for name, socket := range map[string]func(*Scene) string{
		"tcp":  func(s *Scene) string { return s.Millrace.Milter },
		"unix": func(s *Scene) string { return s.Millrace.MilterSocket() },
	} {
		beside := sendmailPace(t, socket)
		t.Logf("%s: %s a letter, alone %s", name, beside, alone)
		if beside > most*alone {
			t.Errorf("%s: %s a letter, more than %d times the %s of Sendmail alone", name, beside, most, alone)
		}
	}
}

// sendmailPace measures letters that one client sends one after the other. socket returns where the milter is, or "".
func sendmailPace(t *testing.T, socket func(*Scene) string) time.Duration {
	t.Helper()
	s := newScene(t, Options{Config: untouched})
	dir, err := s.mkdir("sendmail")
	if err != nil {
		t.Fatal(err)
	}
	c := mta.SendmailConfig{Relay: s.Remote}
	if at := socket(s); at != "" {
		if c.Fragment, err = mta.ReadSendmailFragment(filepath.Join(ContribDir, "sendmail"), at, s.Millrace.inject); err != nil {
			t.Fatal(err)
		}
	}
	if s.Sendmail, err = mta.StartSendmail(dir, c); err != nil {
		t.Fatal(err)
	}
	s.closers = append(s.closers, s.Sendmail.Stop)
	const messages = 40
	begin := time.Now()
	send(t, s, load.Config{Messages: messages, Conns: 1, Plain: 1})
	return time.Since(begin) / messages
}
