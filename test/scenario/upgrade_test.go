package scenario

import (
	"testing"
	"time"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/mta"
)

// steady is bulk and other mail on a few connections that last.
func steady(messages int) load.Config {
	return load.Config{Messages: messages, Rate: 40, Conns: 4, MinSize: 2000, Plain: 0.2, Domains: []string{"d0.test", "d1.test"}, Timeout: time.Minute}
}

// TestUpgradeBehindMilter: clients have long sessions with a Postfix whose milter is replaced again and again. Nobody notices.
func TestUpgradeBehindMilter(t *testing.T) {
	s := startScene(t, Options{})
	u, err := s.Upgrade(t.Context(), steady(200), size(5, 20), 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(u.String())
	if err := u.Err(); err != nil {
		t.Error(err)
	}
	if u.Taken == 0 {
		t.Error("nothing was taken")
	}
}

// TestUpgradeBehindTransport: Postfix brings its mail by SMTP to a door that is replaced again and again, and has no other way.
func TestUpgradeBehindTransport(t *testing.T) {
	s := behind(t, Waiting, Options{})
	u, err := s.Upgrade(t.Context(), steady(200), size(5, 20), 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(u.String())
	if err := u.Err(); err != nil {
		t.Error(err)
	}
	if u.Taken == 0 {
		t.Error("nothing was taken")
	}
}

// startScene starts a Postfix with Millrace as its milter.
func startScene(t *testing.T, o Options) *Scene {
	t.Helper()
	mta.Require(t, mta.PostfixPart)
	s, err := New(t.TempDir(), binary, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			logs(t, s)
		}
	})
	if err := s.StartMillrace(); err != nil {
		t.Fatal(err)
	}
	if err := s.StartPostfix(o); err != nil {
		t.Fatal(err)
	}
	return s
}
