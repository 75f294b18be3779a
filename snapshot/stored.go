package snapshot

import (
	"errors"
	"fmt"
	"hash/crc32"
	"strings"
)

const (
	// storedExt ends the name of a file that Store makes.
	storedExt = ".kept"
	// maxStored bounds such a file: a larger one is damage.
	maxStored = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errStored is the error for a file that is not as Store made it.
var errStored = errors.New("its checksum does not match")

// Store makes data durable under name, at once and in a file of its own. It is for small state on which a promise depends, where
// Keep would wait for a snapshot, which takes long when much mail waits. After an error data may be durable or not.
func (a *Agent) Store(name string, data []byte) error {
	a.storing.Lock()
	defer a.storing.Unlock()
	if a.book.over() {
		return ErrClosed
	}
	return replaceFile(a.fs, name+storedExt, append(fmt.Appendf(nil, "%08x\n", crc32.Checksum(data, castagnoli)), data...))
}

// Stored returns what was stored last under name, nil for nothing. After an error nobody knows what it was.
func (a *Agent) Stored(name string) ([]byte, error) {
	text, err := readFile(a.fs, name+storedExt, nil, maxStored)
	if isNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	sum, data, found := strings.Cut(string(text), "\n")
	if !found || sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(data), castagnoli)) {
		return nil, fmt.Errorf("%s: %w", name+storedExt, errStored)
	}
	return []byte(data), nil
}
