package smtpd

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"
)

// users are who may log in, from a file with a line "name:hash" for each. The hash is bcrypt's: "millrace password" and "htpasswd -B"
// make it.
type users struct {
	hashes map[string]string
	cost   int           // the highest in the file: what every check costs
	turns  chan struct{} // one for each check that may run

	salt  [16]byte
	mu    sync.Mutex
	known map[[sha256.Size]byte]struct{} // names with passwords that were right
}

const (
	// maxChecks is how many checks run at once. Each takes a processor for a while, and mail must go on meanwhile.
	maxChecks = 2
	// maxKnown bounds what is remembered, so that an application with 50 connections pays for one check.
	maxKnown = 1 << 10
	// maxCost is the highest cost of a hash. One check takes about a second then.
	maxCost = 14
	// maxPassword bounds what is checked, in bytes.
	maxPassword = 1 << 10
)

// readUsers reads the file. An error names the file, the line and the repair.
func readUsers(path string) (*users, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Mode().Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: everybody may use this file (mode %#o); repair: chmod o-rwx %s", path, info.Mode().Perm(), path)
	}
	u := &users{hashes: make(map[string]string), cost: bcrypt.MinCost, turns: make(chan struct{}, maxChecks), known: make(map[[sha256.Size]byte]struct{})}
	rand.Read(u.salt[:])
	lines := bufio.NewScanner(f)
	for number := 1; lines.Scan(); number++ {
		if err := u.define(lines.Bytes()); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, number, err)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if len(u.hashes) == 0 {
		return nil, fmt.Errorf("%s: has no user; repair: millrace password NAME >> %s", path, path)
	}
	return u, nil
}

// define reads a line of the file. Empty lines and lines that begin with "#" say nothing.
func (u *users) define(line []byte) error {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] == '#' {
		return nil
	}
	name, hash, found := strings.Cut(string(line), ":")
	if !found || name == "" {
		return errors.New(`this is not "name:hash"; repair: make the line with "millrace password NAME"`)
	}
	if _, twice := u.hashes[name]; twice {
		return fmt.Errorf("%q stands in this file twice; repair: remove one of the lines", name)
	}
	cost, err := hashCost(hash)
	if err != nil {
		return fmt.Errorf(`%q: %w; repair: make the line with "millrace password %s"`, name, err, name)
	}
	u.hashes[name], u.cost = hash, max(u.cost, cost)
	return nil
}

// UserLine makes the line of a user for the file Config.Users. A name or a password that the file cannot have is an error.
func UserLine(name, password string) (string, error) {
	switch {
	case name == "" || strings.TrimSpace(name) != name || name[0] == '#' || strings.Contains(name, ":") || strings.ContainsFunc(name, unicode.IsControl) || !utf8.ValidString(name):
		return "", fmt.Errorf(`%q cannot be a name: it has ":", a blank at an end, "#" at the beginning or a control character, or is empty`, name)
	case password == "":
		return "", errors.New("the password is empty")
	case len(password) > maxHashed:
		return "", fmt.Errorf("the password is longer than %d bytes, and bcrypt reads no more", maxHashed)
	case strings.ContainsRune(password, 0) || !utf8.ValidString(password):
		return "", errors.New("the password has a byte that AUTH PLAIN cannot send")
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), newCost)
	return name + ":" + string(hash), err
}

const (
	// maxHashed is how much of a password bcrypt reads, in bytes.
	maxHashed = 72
	// newCost is the cost of new hashes: about 60 ms.
	newCost = bcrypt.DefaultCost
)

// hashLen is the length of a bcrypt hash in its usual form.
const hashLen = 60

func hashCost(hash string) (int, error) {
	if len(hash) != hashLen || !strings.HasPrefix(hash, "$2a$") && !strings.HasPrefix(hash, "$2b$") && !strings.HasPrefix(hash, "$2y$") {
		return 0, errors.New("the hash is not bcrypt's ($2a$, $2b$, $2y$)")
	}
	if strings.Trim(hash[7:], "./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789") != "" {
		return 0, errors.New("the hash has a character that bcrypt's have not")
	}
	cost, err := bcrypt.Cost([]byte(hash))
	switch {
	case err != nil:
		return 0, err
	case cost > maxCost:
		return 0, fmt.Errorf("the hash has the cost %d, and each login would take a processor for seconds; the highest is %d", cost, maxCost)
	}
	return cost, nil
}

// check reports whether the password is right. A name that nobody has costs what a wrong password costs.
func (u *users) check(name, password string) bool {
	if len(password) > maxPassword {
		return false
	}
	key := u.key(name, password)
	if u.knows(key) {
		return true
	}
	u.turns <- struct{}{}
	defer func() { <-u.turns }()
	if u.knows(key) { // another connection has asked the same
		return true
	}
	if !u.compare(name, password) {
		return false
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) >= maxKnown {
		clear(u.known)
	}
	u.known[key] = struct{}{}
	return true
}

func (u *users) knows(key [sha256.Size]byte) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, known := u.known[key]
	return known
}

// key is what is remembered of a name and a password. The salt keeps it from being of use to anybody else.
func (u *users) key(name, password string) [sha256.Size]byte {
	return sha256.Sum256(fmt.Appendf(u.salt[:len(u.salt):len(u.salt)], "%d:%s:%s", len(name), name, password))
}

// compare works for 2 to the power of u.cost, whoever is asked for: a hash of lower cost is made up for with hashes that nobody has.
func (u *users) compare(name, password string) bool {
	right := false
	paid := bcrypt.MinCost
	if hash, known := u.hashes[name]; known {
		right = bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) == nil
		paid, _ = bcrypt.Cost([]byte(hash))
	} else {
		nobody(paid, password)
	}
	for ; paid < u.cost; paid++ {
		nobody(paid, password)
	}
	return right
}

// nobody compares with a hash that no password has.
func nobody(cost int, password string) {
	hash := fmt.Sprintf("$2a$%02d$%s", cost, strings.Repeat(".", hashLen-7))
	bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) //nolint:errcheck // only its time is wanted
}
