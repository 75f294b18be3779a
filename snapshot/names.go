package snapshot

import (
	"fmt"
	"strconv"
	"strings"
)

// Names below the state directory; FORMAT.md section 3 has the list.
const (
	lockName     = "lock"
	journalDir   = "journal"
	snapshotDir  = "snapshot"
	segmentExt   = ".seg"
	snapshotExt  = ".snap"
	temporaryExt = ".tmp"
	damageExt    = ".bad"
	tornExt      = ".torn"
	asideExt     = ".unreadable" // set aside by Salvage: no program reads or deletes such a file
)

// segmentName is also how logs, errors and reports name a segment: relative to the state directory, as a human finds it.
func segmentName(number uint64) string { return numbered(journalDir, number, segmentExt) }

// numbered makes a name of at least eight digits, so that a listing by name is a listing by number.
func numbered(dir string, number uint64, ext string) string {
	return fmt.Sprintf("%s/%08d%s", dir, number, ext)
}

// parseName returns the number in a name like 00000007.seg. Any other name is not ours, and is left alone.
func parseName(name, ext string) (uint64, bool) {
	digits, ok := strings.CutSuffix(name, ext)
	if !ok || len(digits) < 8 {
		return 0, false
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	return n, err == nil && n > 0
}
