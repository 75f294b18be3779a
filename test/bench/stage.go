package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// trace is one sample of a profile: what was called, from the innermost function outwards, and for how long.
type trace struct {
	took  time.Duration
	calls []string
}

// readTraces reads what "go tool pprof -traces" prints: blocks between lines of dashes, the time before the first function.
func readTraces(text string) ([]trace, error) {
	var list []trace
	_, text, _ = strings.Cut(text, "\n-----------+")
	for block := range strings.SplitSeq(text, "\n-----------+") {
		_, block, _ = strings.Cut(block, "\n")
		var t trace
		for line := range strings.Lines(block) {
			name := strings.TrimSuffix(strings.TrimSpace(line), " (inline)")
			if len(t.calls) == 0 {
				took, first, ok := strings.Cut(name, " ")
				d, err := time.ParseDuration(took)
				if !ok || err != nil {
					return nil, fmt.Errorf("a profile has the line %q", line)
				}
				t.took, name = d, strings.TrimSpace(first)
			}
			t.calls = append(t.calls, name)
		}
		if len(t.calls) > 0 {
			list = append(list, t)
		}
	}
	return list, nil
}

// stage is a part of a message's way, and the functions that are its own.
type stage struct {
	name  string
	calls []string // beginnings of their names, with "millrace/" for this module's path
}

// stages are the table of where the time goes. A sample belongs to the first function, from the innermost outwards, that a stage
// names: a system call counts where it is made, and the collector and the scheduler for themselves.
var stages = []stage{
	{"collector", words(`runtime.gcBgMarkWorker runtime.gcAssistAlloc runtime.bgsweep runtime.bgscavenge runtime.gcStart
		runtime.gcDrain runtime.deductSweepCredit`)},
	{"scheduler, wake-ups", words(`runtime.schedule runtime.findRunnable runtime.mcall runtime.park_m runtime.sysmon runtime.mstart
		runtime.goready runtime.ready runtime.wakep runtime.netpoll runtime.stopm runtime.startm runtime.goexit0`)},
	{"SHA-256", words("crypto/sha256 crypto/internal/fips140/sha256")},
	{"door: the milter library", words("github.com/emersion/go-milter")},
	{"door: answers", words(`millrace/filter/milter.(*deadlined).Write millrace/filter/milter.(*conn).write
		millrace/filter/milter.(*conn).Write millrace/filter/smtpd.(*session).flush millrace/filter/smtpd.(*session).reply`)},
	{"door: read, frames", words(`millrace/filter/milter.(*conn) millrace/filter/milter.(*frames)
		millrace/filter/milter.(*deadlined).Read millrace/filter/smtpd.(*input)`)},
	{"walks over the lines", words(`millrace/relay/smtp.Sendable millrace/relay/smtp.inspect millrace/relay/smtp.lineEnds
		millrace/relay/smtp.(*Form) millrace/relay/smtp.(*Walk) millrace/filter.hasEightBit millrace/filter.(*Mail).BodyRoom
		millrace/filter/smtpd.(*decoder)`)},
	{"door: session, filter", words("millrace/filter")},
	{"splitting", words(`millrace/relay/delta millrace/relay.(*Wrappers) millrace/relay.(*Wrapper) millrace/relay.(*Content)
		millrace/relay.Content`)},
	{"journal: write, sync", words(`millrace/snapshot.osFile millrace/snapshot.datasync millrace/snapshot.(*tape) millrace/snapshot.(*writer)
		millrace/snapshot.(*segment) os.(*File).Sync`)},
	{"journal: records", words("millrace/snapshot")},
	{"mail log", words("millrace/relay.(*MailLog) millrace/cmd/daemon.(*mailLog) millrace/relay.appendPrintable")},
	{"SMTP out", words("millrace/relay/smtp")},
	{"queue, visit, settle, pool", words("millrace/relay")},
	{"the rest of the daemon", words("millrace/ main.")},
}

func words(text string) []string { return strings.Fields(text) }

// module is the path of this module, which stages shorten.
const module = "github.com/millrace/millrace/"

// stageOf is the stage of a sample.
func stageOf(calls []string) string {
	for _, call := range calls {
		if rest, ours := strings.CutPrefix(call, module); ours {
			call = "millrace/" + rest
		}
		for _, s := range stages {
			if slices.ContainsFunc(s.calls, func(begin string) bool { return strings.HasPrefix(call, begin) }) {
				return s.name
			}
		}
	}
	return "nobody's"
}

// share is the time of one stage.
type share struct {
	stage string
	took  time.Duration
}

// byStage adds samples up, the largest stage first, and the sum of all last.
func byStage(samples []trace) []share {
	sums, all := make(map[string]time.Duration), time.Duration(0)
	for _, t := range samples {
		sums[stageOf(t.calls)] += t.took
		all += t.took
	}
	var list []share
	for name, took := range sums {
		list = append(list, share{name, took})
	}
	slices.SortFunc(list, func(a, b share) int { return cmp.Or(cmp.Compare(b.took, a.took), cmp.Compare(a.stage, b.stage)) })
	return append(list, share{"all", all})
}
