package mta

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/millrace/millrace/test/process"
)

// OpendkimConfig says which mail a private opendkim signs, and how. The zero value is ready for use.
type OpendkimConfig struct {
	Domains          []string // mail with a From address in these is signed; default sender.test
	Selector         string   // default test
	Canonicalization string   // "header/body" of RFC 6376 section 3.4; default relaxed/relaxed
	OmitHeaders      []string // header fields that are not signed
}

// Opendkim is a running signing milter.
type Opendkim struct {
	Addr   string // host:port of its milter socket
	config OpendkimConfig
	public string // base64 of the DER of the public key
	daemon *process.Process
}

// StartOpendkim makes an RSA key, starts an opendkim below dir, which must exist, and returns when it listens.
func StartOpendkim(dir string, c OpendkimConfig) (*Opendkim, error) {
	if err := OpendkimPart.Check(); err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	if len(c.Domains) == 0 {
		c.Domains = []string{"sender.test"}
	}
	if c.Selector == "" {
		c.Selector = "test"
	}
	if c.Canonicalization == "" {
		c.Canonicalization = "relaxed/relaxed"
	}
	addr, err := process.FreeAddr()
	if err != nil {
		return nil, err
	}
	o := &Opendkim{Addr: addr, config: c}
	if err := o.writeKey(filepath.Join(dir, "dkim.private")); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "opendkim.conf"), []byte(o.conf(dir)), 0o644); err != nil {
		return nil, fmt.Errorf("mta: %w", err)
	}
	cmd := exec.Command(lookup("opendkim"), "-f", "-x", filepath.Join(dir, "opendkim.conf"))
	if o.daemon, err = start(cmd, filepath.Join(dir, "opendkim.out"), connects, o.Addr); err != nil {
		return nil, err
	}
	return o, nil
}

func (o *Opendkim) writeKey(name string) error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("mta: make DKIM key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("mta: encode DKIM key: %w", err)
	}
	o.public = base64.StdEncoding.EncodeToString(public)
	block := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	if err := os.WriteFile(name, block, 0o600); err != nil {
		return fmt.Errorf("mta: %w", err)
	}
	return nil
}

func (o *Opendkim) conf(dir string) string {
	text := fmt.Sprintf(`Mode s
Socket %s
Domain %s
Selector %s
KeyFile %s
Canonicalization %s
InternalHosts 127.0.0.1
Syslog no
RequireSafeKeys no
PidFile %s
`, sendmailSocket(o.Addr), strings.Join(o.config.Domains, ","), o.config.Selector, filepath.Join(dir, "dkim.private"),
		o.config.Canonicalization, filepath.Join(dir, "opendkim.pid"))
	if len(o.config.OmitHeaders) > 0 {
		text += "OmitHeaders " + strings.Join(o.config.OmitHeaders, ",") + "\n"
	}
	return text
}

// LookupTXT returns the record of the public key in place of DNS, for a verifier.
func (o *Opendkim) LookupTXT(name string) ([]string, error) {
	for _, domain := range o.config.Domains {
		if strings.EqualFold(strings.TrimSuffix(name, "."), o.config.Selector+"._domainkey."+domain) {
			return []string{"v=DKIM1; k=rsa; p=" + o.public}, nil
		}
	}
	return nil, fmt.Errorf("mta: no TXT record %s", name)
}

// PostfixMilter returns the address in the form of PostfixConfig.Milters.
func (o *Opendkim) PostfixMilter() string { return "inet:" + o.Addr }

// SendmailMilter returns the address in the form of SendmailConfig.Milters.
func (o *Opendkim) SendmailMilter() string { return sendmailSocket(o.Addr) }

// Stop ends opendkim and waits for it. It is killed: it has nothing to save, and on SIGTERM it takes five seconds.
func (o *Opendkim) Stop() error { return stop(o.daemon, syscall.SIGKILL) }
