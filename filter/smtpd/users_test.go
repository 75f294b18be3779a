package smtpd

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// usersFile writes a file of users.
func usersFile(t *testing.T, mode os.FileMode, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), mode); err != nil {
		t.Fatal(err)
	}
	return path
}

// hashOf is a hash at a cost.
func hashOf(t *testing.T, password string, cost int) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), cost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func TestUsers(t *testing.T) {
	b := hashOf(t, "b", 6)
	u, err := readUsers(usersFile(t, 0o640, "# applications", "", "a:"+hashOf(t, "a", bcrypt.MinCost), "  b@example.com:$2y"+b[3:], "c:$2b"+b[3:]))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, password string
		want           bool
	}{
		{"a", "a", true}, {"a", "a", true}, {"b@example.com", "b", true}, {"c", "b", true},
		{"a", "b", false}, {"a", "", false}, {"A", "a", false}, {"nobody", "a", false}, {"", "", false},
		{"a", "a\x00", false}, {"a", strings.Repeat("a", maxPassword+1), false}, {"# applications", "", false},
	} {
		if got := u.check(c.name, c.password); got != c.want {
			t.Errorf("%q with %.20q: %v", c.name, c.password, got)
		}
	}
}

func TestUsersErrors(t *testing.T) {
	good := hashOf(t, "a", bcrypt.MinCost)
	for _, c := range []struct {
		name string
		mode os.FileMode
		line string
		want string
	}{
		{"readable for all", 0o644, "a:" + good, "repair: chmod o-rwx"},
		{"clear text", 0o600, "a:secret", `:2: "a": the hash is not bcrypt's ($2a$, $2b$, $2y$); repair: make the line with "millrace password a"`},
		{"no colon", 0o600, "a", `:2: this is not "name:hash"; repair: make the line with`},
		{"no name", 0o600, ":" + good, `:2: this is not "name:hash"`},
		{"MD5", 0o600, "a:$apr1$xxxxxxxx$yyyyyyyyyyyyyyyyyyyyyy", "the hash is not bcrypt's"},
		{"cut off", 0o600, "a:" + good[:59], "the hash is not bcrypt's"},
		{"no character of bcrypt's", 0o600, "a:" + good[:59] + "!", "has a character"},
		{"too dear", 0o600, "a:$2a$31" + good[6:], "has the cost 31"},
		{"twice", 0o600, "b:" + good + "\nb:" + good, `:3: "b" stands in this file twice`},
		{"nobody", 0o600, "# a:" + good, "has no user"},
	} {
		path := usersFile(t, 0o600, "", c.line)
		os.Chmod(path, c.mode)
		_, err := readUsers(path)
		if err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v; want %s", c.name, err, c.want)
		}
	}
	if _, err := readUsers(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there has users")
	}
}

// TestUsersRemember: what was right once is not computed again, at once or behind a forgetting, and what was wrong is not remembered.
func TestUsersRemember(t *testing.T) {
	u, err := readUsers(usersFile(t, 0o600, "a:"+hashOf(t, "a", bcrypt.MinCost)))
	if err != nil {
		t.Fatal(err)
	}
	u.check("a", "b")
	if len(u.known) != 0 {
		t.Fatal("a wrong password is remembered")
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if !u.check("a", "a") {
				t.Error("refused")
			}
		})
	}
	all.Wait()
	delete(u.hashes, "a")
	if !u.check("a", "a") {
		t.Error("the right password was not remembered")
	}
	for i := range maxKnown {
		u.known[u.key(fmt.Sprint(i), "")] = struct{}{}
	}
	u.hashes["a"] = hashOf(t, "c", bcrypt.MinCost)
	if !u.check("a", "c") || len(u.known) != 1 {
		t.Errorf("%d are remembered", len(u.known))
	}
	if u.key("a", "b:c") == u.key("a:b", "c") {
		t.Error("two names with passwords are one")
	}
}

func TestUserLine(t *testing.T) {
	long := strings.Repeat("p", maxHashed)
	for _, c := range []struct{ name, password, want string }{
		{"a", "b", ""}, {"b\u00fc@example.com", "p\u00e4ss: w", ""}, {"a", long, ""},
		{"", "b", "cannot be a name"}, {"a:b", "b", "cannot be a name"}, {"#a", "b", "cannot be a name"}, {" a", "b", "cannot be a name"},
		{"a\nb", "b", "cannot be a name"}, {"a\xff", "b", "cannot be a name"},
		{"a", "", "is empty"}, {"a", long + "p", "longer than 72 bytes"}, {"a", "b\x00", "cannot send"}, {"a", "\xff", "cannot send"},
	} {
		line, err := UserLine(c.name, c.password)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q, %q: %v; want %q", c.name, c.password, err, c.want)
		}
		if err != nil {
			continue
		}
		if u, err := readUsers(usersFile(t, 0o600, line)); err != nil || !u.check(c.name, c.password) {
			t.Errorf("%q, %q: the line %q does not let in: %v", c.name, c.password, line, err)
		}
	}
}
