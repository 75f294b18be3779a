package stream

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strconv"
	"time"
)

// found is what a file has told at the start.
type found struct {
	first  uint64    // position of its first record
	began  time.Time // the time of that record
	last   uint64    // the highest position
	totals Totals    // at its end
	known  bool      // totals are known
}

// Bounds of what is read at a start.
const (
	maxTail = 4 * countEvery * 4 << 10 // bytes of the end of a file: several times what stands between two totals
	maxTorn = 1 << 20                  // bytes of a line that was torn
)

// mend cuts off a last line that the last process could not complete. A file that is no file of lines gets a newline.
func (f *file) mend(r io.ReaderAt) {
	if f.size == 0 {
		return
	}
	tail := make([]byte, min(f.size, maxTorn))
	n, err := r.ReadAt(tail, f.size-int64(len(tail)))
	if err != nil && !errors.Is(err, io.EOF) {
		f.torn = true
		return
	}
	tail = tail[:n]
	whole := bytes.LastIndexByte(tail, '\n') + 1
	size := f.size - int64(len(tail)-whole)
	switch {
	case whole == len(tail):
	case whole == 0 && size > 0, f.disk.Truncate(size) != nil:
		f.torn = true
	default:
		f.size = size
	}
}

// survey reads the end of the file. If no record is in it yet, it reads the newest volume, all of it when that is compressed.
func (f *file) survey() found {
	now := f.surveyFile(f.cfg.Path, false)
	all, _ := volumes(f.cfg.Path) // none can be read in a directory that cannot be listed
	if len(all) == 0 || now.known {
		return now
	}
	v := all[len(all)-1]
	now.last = max(now.last, v.first)
	if now.first > 0 {
		return now
	}
	before := f.surveyFile(v.path, v.zst)
	now.last = max(now.last, before.last)
	now.totals, now.known = before.totals, before.known
	return now
}

// surveyFile reads a file. One that cannot be read has told nothing.
func (f *file) surveyFile(path string, zst bool) found {
	r, err := volume{path: path, zst: zst}.open()
	if err != nil {
		return found{}
	}
	defer r.Close()
	var x found
	if file, ok := r.(*os.File); ok {
		x.read(io.LimitReader(r, 2*maxRecord), true)
		st, err := file.Stat()
		if err != nil {
			return x
		}
		if _, err := file.Seek(max(0, st.Size()-maxTail), io.SeekStart); err != nil {
			return x
		}
		x.totals, x.known = Totals{}, false
	}
	x.read(r, false)
	return x
}

// read takes in lines. The first one may be the end of a line. onlyFirst says that the first record is enough.
func (x *found) read(r io.Reader, onlyFirst bool) {
	lines := bufio.NewReaderSize(r, maxRecord*2)
	for {
		text, err := lines.ReadSlice('\n')
		if err == nil {
			x.line(text)
		}
		if onlyFirst && x.first > 0 || err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}

// told is what a start reads of a record.
type told struct {
	Time   time.Time `json:"time"`
	Relay  string    `json:"relay"`
	Rcpts  uint32    `json:"rcpts"`
	Totals Totals    `json:"totals"`
}

// line takes in one line, and passes over what is none of ours.
func (x *found) line(text []byte) {
	position, k, ok := parse(text)
	if !ok {
		return
	}
	x.last = max(x.last, position)
	var t told
	if (x.first == 0 || k == Counts || k == Reception || k == Deferral) && json.Unmarshal(text, &t) != nil {
		x.known = false
		return
	}
	if x.first == 0 && k < Gap {
		x.first, x.began = position, t.Time
	}
	switch {
	case k == Counts:
		x.totals, x.known = t.Totals, true
	case k == Gap, k == Recovery:
		x.known = false // totals follow
	case k == Deferral && t.Relay == "":
	case k == Deferral:
		x.totals.add(k, 1)
	default:
		x.totals.add(k, t.Rcpts)
	}
}

var typeField = []byte(`,"type":"`)

// maxBefore is how many bytes stand before the type of a record, at most.
const maxBefore = 100

// maxPosition is the highest number that every JSON reader has exactly. What a damaged file has above it is none of ours.
const maxPosition = 1 << 53

// parse reads position and type of a line as line.begin and ring.append write them. It is false for any other line.
func parse(text []byte) (position uint64, k Kind, ok bool) {
	rest, ok := bytes.CutPrefix(text, []byte(open))
	if !ok {
		return 0, 0, false
	}
	i := bytes.IndexByte(rest, ',')
	if i < 0 {
		return 0, 0, false
	}
	position, err := strconv.ParseUint(string(rest[:i]), 10, 64)
	j := bytes.Index(rest[:min(len(rest), maxBefore)], typeField)
	if err != nil || position > maxPosition || j < 0 || text[len(text)-1] != '\n' {
		return 0, 0, false
	}
	rest = rest[j+len(typeField):]
	end := bytes.IndexByte(rest[:min(len(rest), maxBefore)], '"')
	if end < 0 {
		return 0, 0, false
	}
	k, err = ParseKind(string(rest[:end]))
	return position, k, err == nil
}
