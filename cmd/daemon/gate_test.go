package daemon

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/millrace/millrace/relay"
)

// TestGateLog: each step of the gate and of tenants has a line; those of a million sites drown nothing.
func TestGateLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		l := &gateLog{log: NewLog(&out, 0)}
		l.note(relay.GateChange{Of: "all mail", From: relay.GateOpen, To: relay.GateHold, Why: relay.WaitFor(relay.ReasonMemory, "", "95 % of queue.max_bytes is used", time.Time{})})
		l.note(relay.GateChange{Of: "all mail", From: relay.GateOverflow, Left: 40, For: 90 * time.Second})
		l.note(relay.GateChange{Of: "tenant", Name: "acme", To: relay.GateHold, Why: relay.WaitFor(relay.ReasonTenant, "acme", "it has 10", time.Time{})})
		for _, want := range []string{
			`the gate is hold: of="all mail" was=open reason="95 % of queue.max_bytes is used"`,
			`the gate is open: of="all mail" was=overflow reason="" for=1m30s left=40`,
			`the gate is hold: of=tenant was=open reason="it has 10" name=acme`,
		} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no line %s in\n%s", want, &out)
			}
		}
		out.Reset()
		for i := range 1000 {
			l.note(relay.GateChange{Of: "site", Name: fmt.Sprintf("mx%d.example", i), To: relay.GateOverflow})
		}
		if n := strings.Count(out.String(), "\n"); n != maxGateLines {
			t.Errorf("%d lines in a minute", n)
		}
		time.Sleep(time.Minute)
		l.note(relay.GateChange{Of: "site", Name: "late.example", To: relay.GateOverflow})
		if !strings.Contains(out.String(), "steps=980") || !strings.Contains(out.String(), "late.example") {
			t.Errorf("%s", out.String()[max(0, out.Len()-400):])
		}
	})
}
