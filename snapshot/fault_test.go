package snapshot

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
)

// TestFaultInTheJournalEndsTheProcess: nobody survives it, not even a caller that recovers, as doors and agents do.
func TestFaultInTheJournalEndsTheProcess(t *testing.T) {
	if os.Getenv("JOURNAL_FAULT") != "" {
		a, _, _ := mustStart(t, newMemFS(), smallConfig())
		defer func() {
			recover()
			os.Exit(0) // survived
		}()
		switch os.Getenv("JOURNAL_FAULT") {
		case "Take":
			m := message(a.NewID(), "body", "a@a.example", "b@b.example")
			m.Node(1).Resume(relay.SavedNode{Rcpts: []int{7}}) // there is no such recipient
			a.Take(m)
		case "Begin":
			a.Begin(nil)
		case "Event":
			a.Event(&relay.Event{Kind: relay.EventHeard})
		}
		return
	}
	for _, call := range []string{"Take", "Begin", "Event"} {
		cmd := exec.Command(os.Args[0], "-test.run=^TestFaultInTheJournalEndsTheProcess$")
		cmd.Env = append(os.Environ(), "JOURNAL_FAULT="+call)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), "panic: journal: ") {
			t.Errorf("%s: %v, %s", call, err, out)
		}
	}
}
