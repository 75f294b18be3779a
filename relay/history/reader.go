package history

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

const (
	firstRead  = 512  // bytes; most records are shorter
	mostCached = 4096 // texts kept
)

// reader reads single records of one segment.
type reader struct {
	segment *segment
	file    *os.File
	side    *os.File // the index; nil for the segment that is being written
	index   index

	scroll scroll
	note   note
	texts  map[int64][]byte

	room, textRoom [firstRead]byte
}

// openReader opens a segment and, if it has one, its index.
func openReader(dir string, x *segment) (*reader, error) {
	f, err := os.Open(filepath.Join(dir, segmentName(x.number)))
	if err != nil {
		return nil, err
	}
	r := &reader{segment: x, file: f, texts: make(map[int64][]byte)}
	r.scroll = scroll{base: x.base, text: r.text}
	if err := r.openIndex(dir); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

func (r *reader) openIndex(dir string) (err error) {
	r.side, err = os.Open(filepath.Join(dir, indexName(r.segment.number)))
	if errors.Is(err, fs.ErrNotExist) {
		r.side = nil
		return nil
	}
	if err != nil {
		return err
	}
	info, err := r.side.Stat()
	if err == nil {
		r.index, err = openIndex(r.side, info.Size())
	}
	return err
}

func (r *reader) close() {
	_ = r.file.Close() // it was only read
	if r.side != nil {
		_ = r.side.Close()
	}
}

// find is index.find. A segment that was being written when it was opened has its index by now.
func (r *reader) find(dir string, k key, yield func(int64) bool) error {
	if r.side == nil {
		if err := r.openIndex(dir); err != nil {
			return err
		}
	}
	if r.side == nil {
		return fs.ErrNotExist
	}
	return r.index.find(k, yield)
}

// record reads the record whose frame stands at an offset; nil if there is none that checks.
func (r *reader) record(at int64) *note {
	payload := r.payload(at, r.room[:])
	if payload == nil || !r.scroll.read(payload, &r.note) {
		return nil
	}
	return &r.note
}

// text reads the text whose frame stands at an offset; nil if there is none.
func (r *reader) text(at int64) []byte {
	if t, ok := r.texts[at]; ok {
		return t
	}
	payload := r.payload(at, r.textRoom[:])
	if payload == nil || payload[0] != kindText {
		return nil
	}
	if len(r.texts) == mostCached {
		clear(r.texts)
	}
	t := bytes.Clone(payload[1:])
	r.texts[at] = t
	return t
}

// payload reads a frame into room, or into more memory if that is too small.
func (r *reader) payload(at int64, room []byte) []byte {
	if at < headerSize || at >= maxSegment {
		return nil
	}
	n, err := r.file.ReadAt(room, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil
	}
	payload, size, want := readFrame(room[:n])
	if size == 0 && want > n && n == len(room) {
		return r.payload(at, make([]byte, want))
	}
	return payload
}
