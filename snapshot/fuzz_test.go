package snapshot

import (
	"testing"

	"github.com/millrace/millrace/snapshot/format"
)

// FuzzDump feeds arbitrary payloads to the reader for people.
func FuzzDump(f *testing.F) {
	f.Add(byte(format.KindTake), recordOf(message(1, "b", "x@a.example")).Append(nil))
	f.Add(byte(format.KindMarks), format.AppendDone(nil, 1, 1))
	f.Add(byte(format.KindVector), []byte{1, 2, 3, 4})
	f.Add(byte(format.KindCommit), make([]byte, 16))
	f.Add(byte(format.KindBody), make([]byte, 40))
	f.Fuzz(func(t *testing.T, k byte, payload []byte) {
		d := dumper{name: "f", names: format.NewNames(), out: func(r Record) error {
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
