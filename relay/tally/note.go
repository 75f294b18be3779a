package tally

import (
	"slices"
	"strings"

	"github.com/millrace/millrace/relay"
)

// Note keeps a fault of a campaign, in words for people, such as what its check has found or why a provider gets no more of it. The first
// maxFaults are kept, each once, over a restart as of the last snapshot.
func (t *Tally) Note(f relay.FlowName, fault string) {
	fault = strings.ToValidUTF8(short(fault), "")
	t.mu.Lock()
	defer t.mu.Unlock()
	e := t.campaign(f)
	if e.kind == kindCampaign && len(e.faults) < maxFaults && !slices.Contains(e.faults, fault) {
		e.faults = append(e.faults, strings.Clone(fault))
	}
}
