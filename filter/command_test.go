package filter

import (
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

func TestParseCommand(t *testing.T) {
	for _, tt := range []struct {
		argument string
		want     Command
	}{
		{"<a@b>", Command{Path: "a@b"}},
		{"<>", Command{}},
		{"<> SIZE=5", Command{Params: []string{"SIZE=5"}}},
		{" <a@b>  SIZE=5  RET=HDRS ", Command{Path: "a@b", Params: []string{"SIZE=5", "RET=HDRS"}}},
		{"a@b SIZE=5", Command{Path: "a@b", Params: []string{"SIZE=5"}}},
		{`<"a b>"@c> X`, Command{Path: `"a b>"@c`, Params: []string{"X"}}},
		{`<"a\">"@c>`, Command{Path: `"a\">"@c`}},
		{"<a@b", Command{Bad: true}},
		{"<a@b>X", Command{Path: "a@b", Bad: true, Params: []string{"X"}}},
		{"", Command{}},
	} {
		got := ParseCommand(tt.argument)
		if len(got.Params) == 0 {
			got.Params = nil
		}
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q: %+v, want %+v", tt.argument, got, tt.want)
		}
	}
}

func FuzzParseCommand(f *testing.F) {
	f.Add("<a@b> SIZE=5")
	f.Add(`<"a\">"@c> X`)
	f.Add("<\\")
	f.Add(`<"a.b\\c"@c.>`)
	f.Fuzz(func(t *testing.T, argument string) {
		c := ParseCommand(argument)
		addr, fault := c.Canonical(true)
		if fault == "" && strings.ContainsAny(addr, "\r\n\x00") {
			t.Errorf("no fault found in %q", c.Path)
		}
		if again, fault2 := (&Command{Path: addr}).Canonical(true); fault == "" && (again != addr || fault2 != "") {
			t.Errorf("%q becomes %q, and that %q (%s)", c.Path, addr, again, fault2)
		}
		// A recipient is named to the MTA as it was received.
		if !strings.Contains(argument, c.Path) {
			t.Errorf("path %q is not in %q", c.Path, argument)
		}
	})
}

func TestParametersOfMail(t *testing.T) {
	for _, tt := range []struct {
		param string
		ok    bool
		want  relay.Envelope
		size  int64
	}{
		{"SIZE=300", true, relay.Envelope{}, 300},
		{"size=0", true, relay.Envelope{}, 0},
		{"SIZE=-1", false, relay.Envelope{}, -1},
		{"SIZE=", false, relay.Envelope{}, 0},
		{"BODY=7bit", true, relay.Envelope{}, 0},
		{"BODY=8BITMIME", true, relay.Envelope{}, 0},
		{"BODY=BINARYMIME", false, relay.Envelope{}, 0},
		{"RET=hdrs", true, relay.Envelope{Ret: "HDRS"}, 0},
		{"RET=FULL", true, relay.Envelope{Ret: "FULL"}, 0},
		{"RET=ALL", false, relay.Envelope{Ret: "ALL"}, 0},
		{"ENVID=QQ+2B314159", true, relay.Envelope{EnvID: "QQ+2B314159"}, 0},
		{"ENVID=a\rRCPT", false, relay.Envelope{}, 0},
		{"ENVID=a+b", false, relay.Envelope{EnvID: "a+b"}, 0},
		{"ENVID=ä", false, relay.Envelope{EnvID: "ä"}, 0},
		{"ENVID=" + strings.Repeat("x", 101), false, relay.Envelope{EnvID: strings.Repeat("x", 101)}, 0},
		{"SMTPUTF8", true, relay.Envelope{UTF8: true}, 0},
		{"SMTPUTF8=1", false, relay.Envelope{UTF8: true}, 0},
		{"AUTH=<>", true, relay.Envelope{}, 0},
		{"REQUIRETLS", false, relay.Envelope{}, 0},
		{"", false, relay.Envelope{}, 0},
	} {
		var e relay.Envelope
		var o Offer
		if ok := setMailParam(&e, &o, tt.param); ok != tt.ok || !reflect.DeepEqual(e, tt.want) || o.Size != tt.size {
			t.Errorf("%q: %v, %+v, size %d", tt.param, ok, e, o.Size)
		}
	}
}

func TestParametersOfRcpt(t *testing.T) {
	for _, tt := range []struct {
		param string
		ok    bool
		want  relay.Rcpt
	}{
		{"NOTIFY=never", true, relay.Rcpt{Notify: "never"}},
		{"NOTIFY=SUCCESS,NEVER", false, relay.Rcpt{Notify: "SUCCESS,NEVER"}},
		{"NOTIFY=", false, relay.Rcpt{}},
		{"ORCPT=j@example.net", false, relay.Rcpt{ORcpt: "j@example.net"}},
		{"ORCPT=rfc822;j+x@example.net", false, relay.Rcpt{ORcpt: "rfc822;j+x@example.net"}},
		{"ORCPT=rfc822;j=x@example.net", false, relay.Rcpt{ORcpt: "rfc822;j=x@example.net"}},
		{"ORCPT=rfc822;" + strings.Repeat("j", 500), false, relay.Rcpt{ORcpt: "rfc822;" + strings.Repeat("j", 500)}},
		{"ORCPT=utf-8;j\\x{FC}@example.net", true, relay.Rcpt{ORcpt: "utf-8;j\\x{FC}@example.net"}},
		{"ORCPT=utf-8;jü@example.net", false, relay.Rcpt{ORcpt: "utf-8;jü@example.net"}},
		{"ORCPT=rfc822;jü@example.net", false, relay.Rcpt{ORcpt: "rfc822;jü@example.net"}},
		{"NOTIFY=SUCCESS,FAILURE", true, relay.Rcpt{Notify: "SUCCESS,FAILURE"}},
		{"orcpt=rfc822;j+2Bx@example.net", true, relay.Rcpt{ORcpt: "rfc822;j+2Bx@example.net"}},
		{"ORCPT=rfc822;a b", false, relay.Rcpt{}},
		{"RRVS=2014-04-03T23:01:00Z", false, relay.Rcpt{}},
	} {
		var r relay.Rcpt
		if ok := setRcptParam(&r, tt.param, false); ok != tt.ok || r != tt.want {
			t.Errorf("%q: %v, %+v", tt.param, ok, r)
		}
	}
}
