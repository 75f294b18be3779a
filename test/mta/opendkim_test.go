package mta

import (
	"bytes"
	"strings"
	"testing"

	"github.com/emersion/go-msgauth/dkim"

	"github.com/millrace/millrace/test/load"
	"github.com/millrace/millrace/test/sink"
)

func startOpendkim(t *testing.T, c OpendkimConfig) *Opendkim {
	t.Helper()
	Require(t, OpendkimPart)
	o, err := StartOpendkim(t.TempDir(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := o.Stop(); err != nil {
			t.Error(err)
		}
	})
	return o
}

// verify fails the test unless d has exactly one signature, and a good one.
func verify(t *testing.T, o *Opendkim, d sink.Delivery) {
	t.Helper()
	options := &dkim.VerifyOptions{LookupTXT: o.LookupTXT}
	found, err := dkim.VerifyWithOptions(bytes.NewReader(d.Raw), options)
	if err != nil || len(found) != 1 || found[0].Err != nil || found[0].Domain != "sender.test" {
		t.Errorf("%s: %d signatures, %v, %+v", d.ID, len(found), err, found)
	}
}

// TestSignaturesSurvive sends signed mail through both servers, in both canonicalisations. A library that shares
// nothing with opendkim verifies it at the receiver.
func TestSignaturesSurvive(t *testing.T) {
	Require(t, OpendkimPart, PostfixPart, SendmailPart)
	for _, form := range []string{"simple/simple", "relaxed/relaxed"} {
		for _, server := range []string{"postfix", "sendmail"} {
			t.Run(strings.ReplaceAll(form, "/", "-")+" "+server, func(t *testing.T) {
				far, remote, _ := farEnd(t)
				o := startOpendkim(t, OpendkimConfig{Canonicalization: form})
				addr := ""
				if server == "postfix" {
					addr = startPostfix(t, PostfixConfig{Relay: remote, Milters: []string{o.PostfixMilter()}}).Addr
				} else {
					addr = startSendmail(t, SendmailConfig{Relay: remote, Milters: []string{o.SendmailMilter()}}).Addr
				}
				send(t, far, load.Config{Addr: addr, Messages: 10, Conns: 2, Plain: 0.5, MinSize: 5000, Personal: 1})
				for d := range far.All() {
					verify(t, o, d)
				}
			})
		}
	}
}

// TestVerifyCanFail: the verification of a changed message fails.
func TestVerifyCanFail(t *testing.T) {
	far, remote, _ := farEnd(t)
	o := startOpendkim(t, OpendkimConfig{Canonicalization: "simple/simple"})
	p := startPostfix(t, PostfixConfig{Relay: remote, Milters: []string{o.PostfixMilter()}})
	send(t, far, load.Config{Addr: p.Addr, Messages: 1})
	raw := far.Deliveries()[0].Raw
	raw = bytes.Replace(raw, []byte("Subject:News"), []byte("Subject: News"), 1)
	found, err := dkim.VerifyWithOptions(bytes.NewReader(raw), &dkim.VerifyOptions{LookupTXT: o.LookupTXT})
	if err != nil || len(found) != 1 || found[0].Err == nil {
		t.Errorf("one blank more and the signature still holds: %v, %+v", err, found)
	}
}
