package milter

import (
	"bytes"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/test/standin"
)

func TestMacrosThatNobodyAskedForAreNotKept(t *testing.T) {
	m := macros{wanted: []string{"i", "rcpt_host"}}
	if err := m.store([]byte("R{rcpt_addr}\x00a@b\x00i\x00Q1\x00{cert_subject}\x00" + strings.Repeat("x", 60_000) + "\x00{rcpt_host}\x00b\x00")); err != nil {
		t.Fatal(err)
	}
	if got := string(m.stages[strings.IndexByte(stageOrder, 'R')].raw); got != "i\x00Q1\x00{rcpt_host}\x00b\x00" {
		t.Errorf("kept %q", got)
	}
	if n := m.memory(); n > 100 {
		t.Errorf("%d bytes", n)
	}
	if err := m.store([]byte("Mi\x00" + strings.Repeat("x", maxMacros) + "\x00")); err != errMacrosFull {
		t.Errorf("%v", err)
	}
}

// What a connection holds in macros is bounded, and counted in the door's budget.
func TestMacrosAreBounded(t *testing.T) {
	for name, payload := range map[string][]byte{
		"one value":     append(append([]byte("i\x00"), bytes.Repeat([]byte("x"), 1<<20-64)...), 0),
		"many names":    bytes.Repeat([]byte("j\x00x\x00"), 1<<17),
		"nobody's":      bytes.Repeat([]byte("{odd}\x00value\x00"), 5000),
		"just too much": append(append([]byte("i\x00"), bytes.Repeat([]byte("x"), maxMacros)...), 0),
	} {
		t.Run(name, func(t *testing.T) {
			r := start(t)
			const conns = 10
			before := heap()
			var all []*standin.Conn
			for range conns {
				c := r.dial(standin.Options{})
				for _, code := range []byte(stageOrder) {
					if _, err := c.NetConn().Write(standin.AppendFrame(nil, 'D', append([]byte{code}, payload...)...)); err != nil {
						t.Fatal(err)
					}
				}
				all = append(all, c)
			}
			if per := (heap() - before) / conns; per > 256<<10 {
				t.Errorf("%d KB a connection", per>>10)
			}
			if held := r.intake.Status().Buffered; held > conns*2*maxMacros*int64(len(stageOrder)) {
				t.Errorf("%d bytes in the budget", held)
			}
			for _, c := range all {
				v := r.send(c, bulk())
				if taken := name == "nobody's"; v.Taken() != taken {
					t.Errorf("%+v", v)
				}
			}
		})
	}
}

// The budget is charged for macros, and a connection whose macros do not fit takes nothing.
func TestMacrosAreCharged(t *testing.T) {
	r := start(t, func(s *setup) { s.config.MaxBuffered = 3000 })
	c := r.dial(standin.Options{})
	before := r.intake.Status().Buffered
	if before <= 0 {
		t.Errorf("%d bytes charged for the macros of CONNECT", before)
	}
	frame := standin.AppendFrame(nil, 'D', append([]byte("Mi\x00"), append(bytes.Repeat([]byte("x"), 3500), 0)...)...)
	if _, err := c.NetConn().Write(frame); err != nil {
		t.Fatal(err)
	}
	if v := r.send(c, bulk()); v.Action != standin.Accept || v.Stage != standin.Rcpt {
		t.Errorf("%+v", v)
	}
	if after := r.intake.Status().Buffered; after > 3000 {
		t.Errorf("%d bytes of 3000", after)
	}
}

// heap is what lives after a collection, once the sessions have digested what was written.
func heap() int64 {
	time.Sleep(20 * time.Millisecond)
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Parameters of RCPT are charged too.
func TestParametersAreCharged(t *testing.T) {
	r := start(t, func(s *setup) { s.config.MaxBuffered = 64 << 10 })
	c := r.dial(standin.Options{})
	m := bulk()
	for range 200 {
		m.Rcpts = append(m.Rcpts, standin.Recipient{Addr: "a@example.net", Mailer: "smtp", Args: []string{"ORCPT=rfc822;" + strings.Repeat("o", 450)}})
	}
	if v := r.send(c, m); v.Action != standin.Accept || v.Stage != standin.Rcpt {
		t.Errorf("90 KB of parameters under a limit of 64 KB: %+v", v)
	}
}
