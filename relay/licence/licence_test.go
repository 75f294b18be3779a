package licence

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

var noon = time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)

// sample is a licence that holds at noon.
func sample() Licence {
	return Licence{
		Version: 1, Licensee: "Example Ltd", Serial: "17", Issued: noon, NotBefore: noon.Add(-time.Hour), Expires: noon.AddDate(1, 0, 0),
		Limits: Limits{Month: 1000},
	}
}

func newKey(t testing.TB) PrivateKey {
	t.Helper()
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func signed(t testing.TB, l Licence, key PrivateKey) []byte {
	t.Helper()
	text, err := l.Sign(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// seal signs a payload as it stands, valid or not.
func seal(t testing.TB, payload string, key PrivateKey) []byte {
	t.Helper()
	text := signed(t, sample(), key)
	var e envelope
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	e.Payload, e.Signature = base64.StdEncoding.EncodeToString([]byte(payload)), base64.StdEncoding.EncodeToString(key.sign([]byte(payload)))
	text, _ = json.Marshal(e)
	return text
}

func TestALicenceIsRead(t *testing.T) {
	key, l := newKey(t), sample()
	l.Tenants = []TenantConfig{{Name: "acme", Limits: Limits{Day: 5}}}
	l.Servers, l.Installation = []string{"Mail.example.org"}, "abc"
	got, err := Open(signed(t, l, key), []PublicKey{newKey(t).Public(), key.Public()})
	if err != nil {
		t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	if b, _ := json.Marshal(l); string(a) != string(b) {
		t.Errorf("got  %s\nwant %s", a, b)
	}
	if err := got.Check(noon, "mail.EXAMPLE.org", "abc"); err != nil {
		t.Error(err)
	}
}

// TestALicenceIsRefusedByName: each fault has its name.
func TestALicenceIsRefusedByName(t *testing.T) {
	key, other := newKey(t), newKey(t)
	good := string(signed(t, sample(), key))
	plain, _ := json.Marshal(sample())
	payload := string(plain)
	change := func(old, now string) string {
		if !strings.Contains(payload, old) {
			t.Fatalf("no %q in %s", old, payload)
		}
		return strings.Replace(payload, old, now, 1)
	}
	forged := sample()
	forged.Month = 9999
	var ours, theirs envelope
	json.Unmarshal([]byte(good), &ours)
	json.Unmarshal(signed(t, forged, other), &theirs)
	theirs.Key = ours.Key
	claimed, _ := json.Marshal(theirs)
	for _, tt := range []struct {
		name string
		text string
		is   error
		want string
	}{
		{"forged: another payload", strings.Replace(good, ours.Payload, theirs.Payload, 1), ErrForged, "forged"},
		{"forged: signed by another in our name", string(claimed), ErrForged, "forged"},
		{"foreign key", string(signed(t, sample(), other)), ErrForeign, "licence_keys has no key"},
		{"too large", good + strings.Repeat(" ", MaxFile), ErrLarge, "64 KB"},
		{"trailing text", good + "x", ErrMalformed, "behind its end"},
		{"trailing object", good + good, ErrMalformed, "behind its end"},
		{"cut short", good[:len(good)/2], ErrMalformed, "unexpected EOF"},
		{"empty", "", ErrMalformed, "unexpected EOF"},
		{"a list", "[]", ErrMalformed, "no object"},
		{"a word", `"x"`, ErrMalformed, "no object"},
		{"deep", strings.Repeat("[", 10000), ErrMalformed, "no object"},
		{"unknown key", strings.Replace(good, `"key"`, `"keys"`, 1), ErrMalformed, `unknown key "keys"`},
		{"capital letter", strings.Replace(good, `"key"`, `"Key"`, 1), ErrMalformed, `unknown key "Key"`},
		{"key twice", strings.Replace(good, "{", `{"key": "a",`, 1), ErrMalformed, `"key" stands there twice`},
		{"key twice, one escaped", strings.Replace(good, "{", `{"\u006bey": "a",`, 1), ErrMalformed, `"key" stands there twice`},
		{"base64 with a line break", strings.Replace(good, ours.Payload, ours.Payload[:20]+`\n`+ours.Payload[20:], 1), ErrMalformed, "base64"},
		{"no signature", strings.Replace(good, ours.Signature, "", 1), ErrMalformed, "base64"},
		{"not UTF-8", strings.Replace(good, ours.Key, "\xff", 1), ErrMalformed, "UTF-8"},

		{"payload: key twice", string(seal(t, change(`"month":1000`, `"month":1000,"month":9999`), key)), ErrMalformed, `"month" stands there twice`},
		{"payload: unknown key", string(seal(t, change(`"month"`, `"year"`), key)), ErrMalformed, `unknown key "year"`},
		{"payload: key of another place", string(seal(t, change(`"month":1000`, `"Limits":{"month":1000}`), key)), ErrMalformed, `unknown key "Limits"`},
		{"payload: null", string(seal(t, change("1000", "null"), key)), ErrMalformed, "null is no value"},
		{"payload: negative", string(seal(t, change("1000", "-1"), key)), ErrMalformed, "cannot unmarshal"},
		{"payload: a fraction", string(seal(t, change("1000", "10.5"), key)), ErrMalformed, "cannot unmarshal"},
		{"payload: too much", string(seal(t, change("1000", "1000000000000001"), key)), ErrMalformed, "is more than"},
		{"payload: an object for a word", string(seal(t, change(`"17"`, `{}`), key)), ErrMalformed, "plain value"},
		{"payload: no serial", string(seal(t, change(`"17"`, `""`), key)), ErrMalformed, "serial"},
		{"payload: a serial of two lines", string(seal(t, change(`"17"`, `"1\n7"`), key)), ErrMalformed, "serial"},
		{"payload: version 2", string(seal(t, change(`"version":1`, `"version":2`), key)), ErrMalformed, "version 2 is not 1"},
		{"payload: nothing allowed", string(seal(t, change(`"month":1000`, `"month":0`), key)), ErrMalformed, "allows nothing"},
		{"payload: behind its end", string(seal(t, payload+"{}", key)), ErrMalformed, "behind its end"},
		{"payload: a time that is none", string(seal(t, change(`"issued":"2026-11-26T12:00:00Z"`, `"issued":"yesterday"`), key)), ErrMalformed, "yesterday"},
	} {
		_, err := Open([]byte(tt.text), []PublicKey{key.Public()})
		if !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		}
	}
}

func TestALicenceHasItsTimeAndPlace(t *testing.T) {
	l := sample()
	l.Servers = []string{"a.example", "b.example"}
	for _, tt := range []struct {
		name, host, installation, bound string
		at                              time.Time
		is                              error
	}{
		{"valid", "b.example", "x", "", noon, nil},
		{"begins", "b.example", "x", "", l.NotBefore, nil},
		{"too early", "b.example", "x", "", l.NotBefore.Add(-1), ErrNotYet},
		{"last moment", "b.example", "x", "", l.Expires.Add(-1), nil},
		{"over", "b.example", "x", "", l.Expires, ErrExpired},
		{"another host", "c.example", "x", "", noon, ErrForeign},
		{"this installation", "a.example", "x", "x", noon, nil},
		{"another installation", "a.example", "x", "y", noon, ErrForeign},
	} {
		l.Installation = tt.bound
		if err := l.Check(tt.at, tt.host, tt.installation); !errors.Is(err, tt.is) {
			t.Errorf("%s: %v, want %v", tt.name, err, tt.is)
		}
	}
}

// TestAFileOfAGigabyteIsNotRead: its size is enough. A pipe would never end, or never begin.
func TestAFileOfAGigabyteIsNotRead(t *testing.T) {
	dir := t.TempDir()
	large, pipe := filepath.Join(dir, "large"), filepath.Join(dir, "pipe")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<30); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(1, func() {
		if _, err := ReadFile(large); !errors.Is(err, ErrLarge) {
			t.Errorf("got %v", err)
		}
	}); n > 100 {
		t.Errorf("%v allocations", n)
	}
	for _, path := range []string{pipe, dir, "/dev/zero"} {
		if _, err := ReadFile(path); err == nil || !strings.Contains(err.Error(), "is no file") {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestInstallReplaces: the new licence stands there whole, and no unfinished file stays.
func TestInstallReplaces(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"one", "two"} {
		if err := Install(dir, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadFile(filepath.Join(dir, FileName)); err != nil || string(got) != text {
			t.Errorf("%q %v", got, err)
		}
	}
	if list, _ := os.ReadDir(dir); len(list) != 1 {
		t.Errorf("%v", list)
	}
	if err := Install(filepath.Join(dir, "none"), []byte("x")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

func TestAKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key.pem")
	key := newKey(t)
	if err := key.Create(path); err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if err := newKey(t).Create(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("a key was replaced: %v", err)
	}
	got, err := ReadKey(path)
	if err != nil || got.Public().ID() != key.Public().ID() {
		t.Errorf("%v %v", got, err)
	}
	os.Chmod(path, 0o604)
	if _, err := ReadKey(path); err == nil || !strings.Contains(err.Error(), "chmod o=") {
		t.Errorf("%v", err)
	}
	if keys, err := ParseKeys([]string{key.Public().String()}); err != nil || keys[0].ID() != key.Public().ID() {
		t.Errorf("%v %v", keys, err)
	}
}

// FuzzOpen: whatever the text is, Open ends, and what it takes is what was signed.
func FuzzOpen(f *testing.F) {
	key := newKey(f)
	good := signed(f, sample(), key)
	for _, seed := range []string{string(good), "", "{}", `{"payload":"","signature":"","key":""}`, strings.Repeat("[", 200), `{"key":{"key":null}}`} {
		f.Add([]byte(seed))
	}
	trusted := []PublicKey{key.Public()}
	f.Fuzz(func(t *testing.T, text []byte) {
		if l, err := Open(text, trusted); err == nil && l.Serial != "17" {
			t.Errorf("%+v was never signed", l)
		}
	})
}

// FuzzPayload: whatever a licensor has signed, Open ends, and what it takes is valid and is written in the same way again.
func FuzzPayload(f *testing.F) {
	key := newKey(f)
	good, _ := json.Marshal(sample())
	f.Add(string(good))
	f.Add(strings.Replace(string(good), `"month":1000`, `"tenants":[{"name":"a","day":1}],"servers":["x"]`, 1))
	f.Add(`{"version":1e0}`)
	trusted := []PublicKey{key.Public()}
	f.Fuzz(func(t *testing.T, payload string) {
		l, err := Open(seal(t, payload, key), trusted)
		if err != nil {
			return
		}
		again, err := Open(signed(t, l, key), trusted)
		if a, b := mustJSON(l), mustJSON(again); err != nil || a != b {
			t.Errorf("%q: %s, then %s, %v", payload, a, b, err)
		}
	})
}

func mustJSON(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(text)
}
