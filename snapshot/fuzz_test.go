package snapshot

import (
	"testing"

	"github.com/millrace/millrace/snapshot/format"
)

// FuzzDump feeds arbitrary payloads to the reader for people.
func FuzzDump(f *testing.F) {
	f.Add(byte(format.KindTake), recordOf(message(1, "b", "x@a.example")).Append(nil, format.Basis{}, &format.Common{}))
	f.Add(byte(format.KindMarks), format.AppendDone(nil, 1, 1, format.WhySent))
	f.Add(byte(format.KindVector), []byte{1, 2, 3, 4})
	f.Add(byte(format.KindCommit), make([]byte, 16))
	f.Add(byte(format.KindShared), make([]byte, 40))
	f.Add(byte(format.KindCounters), make([]byte, 8))
	f.Fuzz(func(t *testing.T, k byte, payload []byte) {
		d := dumper{name: "f", names: format.NewNames(), head: format.Header{Version: format.Version}, commons: make(map[uint32]*format.Common), out: func(r Record) error {
			if r.line() == "" {
				t.Fatal("empty line")
			}
			return nil
		}}
		if err := d.dumpFrame(format.Frame{Kind: format.Kind(k), Payload: payload}); err != nil {
			t.Fatal(err)
		}
	})
}
