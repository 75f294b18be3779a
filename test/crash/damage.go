package main

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const damageBlock = 4096

// damage deletes or spoils one of the files, and names the damage.
func (m *damager) damage() (string, error) {
	names, err := stateFiles(m.sandbox.state)
	if err != nil {
		return "", err
	}
	name := names[m.rng.IntN(len(names))]
	path := filepath.Join(m.sandbox.state, name)
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if m.rng.IntN(4) == 0 {
		return "deleted " + name, os.Remove(path)
	}
	data, what := spoil(data, m.rng)
	return what + " of " + name, os.WriteFile(path, data, 0o600)
}

// stateFiles lists the segments and snapshots below dir.
func stateFiles(dir string) ([]string, error) {
	var names []string
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && (strings.HasSuffix(name, ".seg") || strings.HasSuffix(name, ".snap")) {
			names = append(names, name)
		}
		return err
	})
	if err == nil && len(names) == 0 {
		err = fmt.Errorf("%s holds no files to damage", dir)
	}
	return names, err
}

// spoil flips a bit, cuts the file short, or zeroes a block. It touches only bytes that were written: a segment ends in
// zeros that were only allocated.
func spoil(data []byte, rng *rand.Rand) ([]byte, string) {
	used := len(bytes.TrimRight(data, "\x00"))
	if used == 0 {
		return data, "nothing"
	}
	at := rng.IntN(used)
	switch rng.IntN(3) {
	case 0:
		data[at] ^= 1 << rng.IntN(8)
		return data, fmt.Sprintf("one bit flipped at byte %d", at)
	case 1:
		return data[:at], fmt.Sprintf("all from byte %d on cut off", at)
	}
	at -= at % damageBlock
	clear(data[at:min(at+damageBlock, len(data))])
	return data, fmt.Sprintf("%d bytes zeroed at %d", damageBlock, at)
}

// appendGarbage writes garbage behind the last record of the last segment.
func (m *damager) appendGarbage() error {
	names, err := stateFiles(m.sandbox.state)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".seg") })
	path := filepath.Join(m.sandbox.state, slices.Max(names))
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data = bytes.TrimRight(data, "\x00")
	for range garbage {
		data = append(data, byte(1+m.rng.IntN(255)))
	}
	return os.WriteFile(path, data, 0o600)
}
