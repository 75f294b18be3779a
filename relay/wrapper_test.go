package relay

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/millrace/millrace/test/letters"
)

// letterOf cuts a whole message.
func letterOf(message []byte) Letter {
	head, body, _ := bytes.Cut(message, []byte("\r\n\r\n"))
	return Letter{Header: append(head, "\r\n"...), Body: body}
}

// TestCampaigns: the messages of a campaign share almost all of what they are, whatever mailer has made them, also when several forms
// of them are mixed, and each comes out as it came in.
func TestCampaigns(t *testing.T) {
	const n = 60
	for _, shape := range append(letters.Shapes(15), letters.Variants(15)...) {
		t.Run(shape.Name, func(t *testing.T) {
			ws, all := NewWrappers(NewBudget(0)), make([]Content, n)
			var flow References
			for i := range all {
				all[i] = NewContent(letterOf(shape.Message(i)))
				ws.Divide(&all[i], &flow, AccountMail)
			}
			for i := range all {
				if !bytes.Equal(bytes.Join(all[i].Pieces(), nil), shape.Message(i)) {
					t.Fatalf("message %d is altered", i)
				}
			}
			s := flow.size
			t.Logf("%d wrappers with %d bytes, %d bytes a part, %.1f %% shared", s.Wrappers, s.Shared, s.Personal/n, 100*(1-float64(s.Personal)/float64(s.Whole)))
			if s.Wrappers > maxReferences || s.Personal > s.Whole/15 {
				t.Errorf("%d wrappers, and %d of %d bytes are in the parts", s.Wrappers, s.Personal, s.Whole)
			}
			for i := range all {
				ws.Undivide(&all[i], &flow)
			}
			if flow.size != (WrapperSize{}) || ws.Held() != 0 {
				t.Errorf("left: %+v", flow.size)
			}
		})
	}
}

// TestStrangers: messages that have nothing in common are wrappers of their own, and no more of them are compared with than a few.
func TestStrangers(t *testing.T) {
	ws := NewWrappers(NewBudget(0))
	var flow References
	var all []Content
	for i := range 100 {
		body := bytes.Repeat(fmt.Appendf(nil, "%x", i*7919), 500)
		c := NewContent(Letter{Body: body})
		ws.Divide(&c, &flow, AccountMail)
		all = append(all, c)
	}
	if len(flow.list) > maxReferences || ws.indexes.Len() > maxReferences {
		t.Errorf("%d references, %d indexes", len(flow.list), ws.indexes.Len())
	}
	for i := range all {
		ws.Undivide(&all[i], &flow)
	}
	if len(flow.list) > maxReferences || len(ws.resting) != len(flow.list) {
		t.Errorf("%d references stay, and %d rest", len(flow.list), len(ws.resting))
	}
	ws.Forget(time.Now().Add(maxRest))
	if len(flow.list) != 0 || ws.indexes.Len() != 0 || ws.weight != 0 || len(ws.flows) != 0 {
		t.Errorf("%d references and %d indexes with %d bytes stay", len(flow.list), ws.indexes.Len(), ws.weight)
	}
}

// TestWrappersRest: mail that leaves before the next comes shares a wrapper all the same, over the end of its flow, and the number of
// flows does not decide how many rest.
func TestWrappersRest(t *testing.T) {
	b := NewBudget(0)
	ws, shape := NewWrappers(b), letters.Shapes(15)[0]
	pass := func(name string, i int) uint64 {
		c := NewContent(letterOf(shape.Message(i)))
		flow := ws.references(FlowName{Name: name})
		ws.Divide(&c, flow, AccountMail)
		defer ws.Undivide(&c, flow)
		return c.Wrapper().Serial()
	}
	first := pass("autumn", 0)
	for i := range 5 {
		if n := pass("autumn", i+1); n != first {
			t.Errorf("message %d has the wrapper %d, and the first had %d", i+1, n, first)
		}
	}
	if b.Used(AccountMail) != 0 || ws.Held() != 0 {
		t.Errorf("%d bytes, %d wrappers", b.Used(AccountMail), ws.Held())
	}
	for i := range 2 * maxResting {
		pass(fmt.Sprint("campaign ", i), i)
	}
	if len(ws.resting) != maxResting || len(ws.flows) != maxResting {
		t.Errorf("%d wrappers of %d flows rest", len(ws.resting), len(ws.flows))
	}
}

// TestDoorsDivide: many doors divide the mail of one campaign while it leaves. They make few references, and what is counted comes
// to nothing in the end.
func TestDoorsDivide(t *testing.T) {
	b := NewBudget(0)
	ws, shape := NewWrappers(b), letters.Shapes(15)[0]
	var flow References
	var doors sync.WaitGroup
	for d := range 8 {
		doors.Go(func() {
			var waits []Content
			for i := range 100 {
				c := NewContent(letterOf(shape.Message(d*100 + i)))
				ws.Divide(&c, &flow, AccountMail)
				waits = append(waits, c)
				if len(waits) > i%7 {
					if !bytes.HasPrefix(waits[0].Head(), []byte("Received:")) {
						t.Errorf("the head is %q", waits[0].Head())
					}
					ws.Undivide(&waits[0], &flow)
					waits = waits[1:]
				}
			}
			for i := range waits {
				ws.Undivide(&waits[i], &flow)
			}
		})
	}
	doors.Wait()
	if used := b.Used(AccountMail); used != 0 || flow.size != (WrapperSize{}) || ws.Held() != 0 || len(ws.resting) != len(flow.list) {
		t.Errorf("%d bytes, %+v, %d references, of which %d rest", used, flow.size, len(flow.list), len(ws.resting))
	}
}

// TestIndexesAreBounded: the number of campaigns does not decide how much memory indexes take.
func TestIndexesAreBounded(t *testing.T) {
	ws := NewWrappers(NewBudget(0))
	flows := make([]References, 300)
	for i := range flows {
		for j := range 3 {
			c := NewContent(Letter{Header: fmt.Appendf(nil, "Subject: %d\r\n", j), Body: bytes.Repeat(fmt.Appendf(nil, "campaign %d, ", i), 2000)})
			ws.Divide(&c, &flows[i], AccountMail)
		}
	}
	built := 0
	for i := range flows {
		for _, wr := range flows[i].list {
			built += wr.reference.Weight()
		}
	}
	if ws.weight > maxIndexed || built > maxIndexed || built < maxIndexed/2 {
		t.Errorf("the indexes have %d bytes, and %d are counted", built, ws.weight)
	}
}

// prose is text of few words, so that each pair of them stands in every other text as well.
func prose(rng *rand.Rand, size int) []byte {
	words := strings.Fields("mill race wheel water gate stone flour sack river bank spring flood summer winter light bread morning road market letter")
	var b []byte
	for line := 0; len(b) < size; {
		w := words[rng.IntN(len(words))]
		b = append(append(b, w...), ' ')
		if line += len(w) + 1; line > 66 {
			b, line = append(b[:len(b)-1], "\r\n"...), 0
		}
	}
	return append(b, "\r\n"...)
}

// TestWeeklyNewsletters: the newsletters of one list follow each other, in the same language. Each is like those before it by its samples,
// and shares with its own messages all the same.
func TestWeeklyNewsletters(t *testing.T) {
	const weeks, readers = 12, 60
	ws := NewWrappers(NewBudget(0))
	var flow References
	rng := rand.New(rand.NewPCG(1, 2))
	made := 0
	for week := range weeks {
		text := prose(rng, 19_000)
		whole := 0
		var all [readers]Content
		for i := range all {
			all[i] = NewContent(Letter{
				Header: fmt.Appendf(nil, "To: reader%d@example.net\r\nSubject: Week %d\r\n", i, week),
				Body:   slices.Concat(fmt.Appendf(nil, "Dear reader %d,\r\n", i), prose(rng, 1000), text),
			})
			ws.Divide(&all[i], &flow, AccountMail)
			if len(all[i].Part()) < 20 {
				made++
			} else {
				whole += len(all[i].Part())
			}
		}
		if whole > readers*2000 {
			t.Errorf("week %d: %d bytes a part", week, whole/readers)
		}
		for i := range all {
			ws.Undivide(&all[i], &flow)
		}
	}
	if made > weeks {
		t.Errorf("%d wrappers for %d newsletters", made, weeks)
	}
}
