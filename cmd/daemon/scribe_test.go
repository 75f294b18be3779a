package daemon

import (
	"testing"
	"testing/synctest"
	"time"
)

// TestScribe: a commit waits for the logs, but for no log that hangs, and for a log that has hung again when it answers.
func TestScribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took := time.Millisecond
		written := 0
		s := scribeOf(func() { time.Sleep(took); written++ })
		defer s.end()
		for i, c := range []struct{ write, waits time.Duration }{
			{time.Millisecond, time.Millisecond}, {time.Minute, scribePatience}, {time.Minute, 0}, {time.Millisecond, time.Millisecond},
		} {
			if i == 3 {
				time.Sleep(2 * time.Minute)
				synctest.Wait()
			}
			took = c.write
			begin := time.Now()
			s.write()
			if waited := time.Since(begin); waited != c.waits {
				t.Errorf("call %d waited %s, want %s", i, waited, c.waits)
			}
			synctest.Wait()
		}
		if written != 3 {
			t.Errorf("written %d times", written)
		}
	})
}

// TestScribeAtTheLastMoment: the writing ends at the moment in which the commit stops waiting for it. The next commit is preceded again.
func TestScribeAtTheLastMoment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		took, written := time.Duration(0), 0
		s := scribeOf(func() { time.Sleep(took); written++ })
		defer s.end()
		for range 1000 {
			took = scribePatience
			s.write()
			synctest.Wait()
			took, written = 0, 0
			if s.write(); written != 1 {
				t.Fatal("the logs are not written any more")
			}
		}
	})
}
