package history

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// segment is one file of the history, with its index.
type segment struct {
	number  int
	base    base
	size    int64 // bytes of the segment
	indexed int64 // bytes of the index; 0: it has none

	oldest, newest int64 // the times of the first and the last record, Unix milliseconds

	runs   *runs  // the entries, while it is written; nil: they are in the index
	closed string // why it cannot be read, such as a newer version or damage; "": it can
}

// bytes is what the segment takes on the disk.
func (s *segment) bytes() int64 { return s.size + s.indexed }

const (
	segmentSuffix = ".seg"
	indexSuffix   = ".idx"
	tempSuffix    = ".tmp"
)

func segmentName(number int) string { return fmt.Sprintf("%08d%s", number, segmentSuffix) }
func indexName(number int) string   { return fmt.Sprintf("%08d%s", number, indexSuffix) }

// numberOf reads the name of a segment.
func numberOf(name string) (number int, ok bool) {
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok || len(digits) < 8 {
		return 0, false
	}
	number, err := strconv.Atoi(digits)
	return number, err == nil && number > 0
}

// account notes one more record, of which the offset and the keys are known.
func (s *segment) account(n *note, offset int64, scratch *[]byte) {
	if s.oldest == 0 {
		s.oldest = n.time
	}
	s.newest = n.time
	if n.kind == kindGap {
		s.runs.add(keyOf(keyGap, nil).entry(offset))
		return
	}
	s.runs.add(keyOfID(n.id).entry(offset))
	if n.kind != kindTaken {
		return
	}
	if n.first == 0 {
		if len(n.queueID) > 0 {
			s.runs.add(keyOf(keyQueueID, n.queueID).entry(offset))
		}
		if len(n.messageID) > 0 {
			s.runs.add(keyOf(keyMessageID, n.messageID).entry(offset))
		}
	}
	for _, r := range n.rcpts {
		*scratch = appendLower((*scratch)[:0], r)
		s.runs.add(keyOf(keyRcpt, *scratch).entry(offset))
	}
}

// damage is what was wrong with a segment that was read.
type damage struct {
	damaged int // bytes in the middle
	torn    int // bytes at the end
}

// scan reads a whole segment again: its entries and, for who goes on writing it, its texts. The size is up to the last frame that
// checks.
func (s *segment) scan(b []byte) (*words, damage) {
	s.runs, s.oldest, s.newest = &runs{}, 0, 0
	known := newWords()
	texts := make(map[int64][]byte)
	var n note
	var lower []byte
	r := scroll{base: s.base, text: func(at int64) []byte { return texts[at] }}
	w := newWalk(b)
	for w.next() {
		if w.payload[0] == kindText {
			texts[int64(w.frame)] = w.payload[1:]
			known.learn(w.payload[1:], uint32(w.frame))
		} else if r.read(w.payload, &n) {
			s.account(&n, int64(w.frame), &lower)
		}
	}
	s.size = int64(w.good)
	return known, damage{w.damaged, len(b) - w.good}
}

// writeIndex makes the index durable and closes the segment: its entries leave memory.
func (s *segment) writeIndex(dir string) error {
	entries := s.runs.all()
	b := appendIndex(nil, summary{len(entries), s.size, s.oldest, s.newest}, entries)
	path := filepath.Join(dir, indexName(s.number))
	if err := writeDurably(path+tempSuffix, b); err != nil {
		return err
	}
	if err := os.Rename(path+tempSuffix, path); err != nil {
		return err
	}
	s.runs, s.indexed = nil, int64(len(b))
	return nil
}

// writeDurably makes a file with that content. It removes the file when it fails.
func writeDurably(path string, b []byte) (err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			_ = os.Remove(path) // what is left there is no index
		}
	}()
	if _, err := f.Write(b); err != nil {
		return err
	}
	return f.Sync()
}

// remove takes the files away.
func (s *segment) remove(dir string) error {
	err := os.Remove(filepath.Join(dir, segmentName(s.number)))
	if s.indexed > 0 {
		if ierr := os.Remove(filepath.Join(dir, indexName(s.number))); err == nil {
			err = ierr
		}
	}
	return err
}
