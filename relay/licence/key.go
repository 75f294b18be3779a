package licence

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// PublicKey is a key whose licences are trusted.
type PublicKey struct{ key ed25519.PublicKey }

// PrivateKey signs licences.
type PrivateKey struct{ key ed25519.PrivateKey }

// ParseKeys reads public keys as the configuration has them: 32 bytes in base64 each.
func ParseKeys(texts []string) ([]PublicKey, error) {
	var keys []PublicKey
	for i, text := range texts {
		b, err := unbase64(text)
		if err != nil || len(b) != ed25519.PublicKeySize {
			return nil, fmt.Errorf(`%q, the %d. key, is no public key; "millrace licence issue --new-key" prints one`, cut(text), i+1)
		}
		keys = append(keys, PublicKey{b})
	}
	return keys, nil
}

// String is the key as the configuration has it.
func (k PublicKey) String() string { return base64.StdEncoding.EncodeToString(k.key) }

// ID is the name of the key in an envelope: the first 8 bytes of its SHA-256, in hex.
func (k PublicKey) ID() string {
	sum := sha256.Sum256(k.key)
	return hex.EncodeToString(sum[:8])
}

// Public is the public half.
func (k PrivateKey) Public() PublicKey { return PublicKey{k.key.Public().(ed25519.PublicKey)} }

// sign is the signature over text.
func (k PrivateKey) sign(text []byte) []byte { return ed25519.Sign(k.key, text) }

// NewKey makes a key.
func NewKey() (PrivateKey, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	return PrivateKey{key}, err
}

// keyBlock is the type of the PEM block, as OpenSSL has it.
const keyBlock = "PRIVATE KEY"

// Create writes the key to a new file of mode 0600, as PKCS #8 in PEM. It never replaces a file: a lost key cannot be had again.
func (k PrivateKey) Create(path string) error {
	der, err := x509.MarshalPKCS8PrivateKey(k.key)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(pem.EncodeToMemory(&pem.Block{Type: keyBlock, Bytes: der}))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return syncDir(filepath.Dir(path))
}

// ReadKey reads a file that Create has made. It refuses a file that others may read.
func ReadKey(path string) (PrivateKey, error) {
	text, err := readSecret(path)
	if err != nil {
		return PrivateKey{}, err
	}
	block, _ := pem.Decode(text)
	if block == nil || block.Type != keyBlock {
		return PrivateKey{}, fmt.Errorf("%s: is no private key in PEM", path)
	}
	any, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := any.(ed25519.PrivateKey)
	if err != nil || !ok {
		return PrivateKey{}, fmt.Errorf("%s: is no Ed25519 key", path)
	}
	return PrivateKey{key}, nil
}

// readSecret reads a small file that only its owner, or his group, may read.
func readSecret(path string) ([]byte, error) {
	text, mode, err := readFile(path)
	if err == nil && mode.Perm()&0o007 != 0 {
		return nil, fmt.Errorf("%s: others may read or write it; run chmod o= on it", path)
	}
	return text, err
}

// unbase64 reads base64 in its one exact form: no line breaks, no spare bits.
func unbase64(text string) ([]byte, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err == nil && base64.StdEncoding.EncodeToString(b) != text {
		err = errors.New("illegal base64 data")
	}
	return b, err
}
