package snapshot

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// secretName is the file that holds the secret, in hexadecimal, with a line end.
const secretName = "secret"

// secretBytes is the length of the secret: that of the hash that is keyed with it.
const secretBytes = 32

// errNoSecret is the error for a file that holds something else.
var errNoSecret = errors.New("holds no secret; a new one is made")

// Secret returns random bytes that only this state directory has. Mail that Millrace hands back is known by them, whatever the
// host is called meanwhile. They stay the same as long as the directory lasts.
func (a *Agent) Secret() []byte { return a.secret }

// establishSecret reads the secret, or makes it: a new state directory has none, nor has one of an older program. The secret is
// durable when establishSecret returns. Without a disk that keeps it the daemon goes on with one in memory: at worst mail that
// was handed back is taken once more after the next start.
func (a *Agent) establishSecret() {
	secret, err := readSecret(a.fs)
	if err == nil {
		a.secret = secret
		return
	}
	if !isNotExist(err) {
		a.log.Warn("the secret of the state directory cannot be read; mail handed back before this start may be taken again", "file", secretName, "error", err)
	}
	a.secret = make([]byte, secretBytes)
	_, _ = rand.Read(a.secret) // it never fails
	if err := writeSecret(a.fs, a.secret); err != nil {
		a.log.Warn("the secret of the state directory cannot be written; mail handed back from now on may be taken again after the next start", "file", secretName, "error", err)
	}
}

// readSecret returns what the file holds.
func readSecret(fs FileSystem) ([]byte, error) {
	text, err := readFile(fs, secretName, nil, 4*secretBytes)
	if err != nil {
		return nil, err
	}
	secret, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(secret) != secretBytes {
		return nil, errNoSecret
	}
	return secret, nil
}

// writeSecret makes the file, complete or not at all.
func writeSecret(fs FileSystem, secret []byte) error {
	return replaceFile(fs, secretName, fmt.Appendf(nil, "%x\n", secret))
}
