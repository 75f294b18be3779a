package stream

import (
	"cmp"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
)

// packed is the end of the name of a compressed file, and unfinished that of one in the making.
const (
	packed     = ".zst"
	unfinished = ".tmp"
)

// minPosition is below all positions. What another log rotation puts behind a name, a count or a date, is lower: such a file is not ours.
const minPosition = 1_000_000_000_000_000

// volume is a file that is not written to any more, or, with its path alone, the one that is. Its name is the path, a dot, the
// position of its first record, and perhaps the end of a compressed file.
type volume struct {
	path  string
	first uint64
	zst   bool
}

// volumes lists those of a path, the oldest first. Of a volume that is there in both forms, a kill came before the plain one was
// removed; the plain one is listed.
func volumes(path string) ([]volume, error) {
	dir, base := filepath.Split(path)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var all []volume
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), base+".")
		if !ok || !e.Type().IsRegular() {
			continue
		}
		number, zst := strings.CutSuffix(number, packed)
		first, err := strconv.ParseUint(number, 10, 64)
		if err == nil && first >= minPosition && strconv.FormatUint(first, 10) == number {
			all = append(all, volume{filepath.Join(dir, e.Name()), first, zst})
		}
	}
	slices.SortFunc(all, func(a, b volume) int {
		return cmp.Or(cmp.Compare(a.first, b.first), strings.Compare(a.path, b.path)) // the plain one first
	})
	return slices.CompactFunc(all, func(a, b volume) bool { return a.first == b.first }), nil
}

// open opens a volume to read its lines.
func (v volume) open() (io.ReadCloser, error) {
	f, err := os.Open(v.path)
	if err != nil || !v.zst {
		return f, err
	}
	d, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return unpacking{d, f}, nil
}

// unpacking is a compressed volume that is being read.
type unpacking struct {
	*zstd.Decoder
	file *os.File
}

// Close implements io.Closer.
func (u unpacking) Close() error {
	u.Decoder.Close()
	return u.file.Close()
}

// isFull reports whether the next file is to be begun. The mutex is held.
func (f *file) isFull() bool {
	if !f.plain.Load() || f.first == 0 || f.stream.deps.now().Before(f.retry) {
		return false
	}
	return f.size >= f.cfg.MaxSize || f.stream.deps.now().Sub(f.began) >= f.cfg.MaxAge
}

// rotate gives the file the name of a volume and begins the next one. If that fails the file goes on. The mutex is held.
func (f *file) rotate() {
	if f.since > 0 {
		if f.put(f.appendCounts(f.out[:0], f.at, f.stream.deps.now())) != nil {
			return // write meets the same error, and tells it
		}
	}
	old := f.disk
	name := f.cfg.Path + "." + strconv.FormatUint(f.first, 10)
	err := os.Rename(f.cfg.Path, name)
	if err == nil {
		if err = f.connect(); err != nil {
			err = errors.Join(err, os.Rename(name, f.cfg.Path))
		}
	}
	if err != nil {
		f.began = f.stream.deps.now() // tried again when it is full by its age
		f.cfg.MaxSize += f.cfg.MaxSize / 2
		f.stream.log.Warn("events: the file goes on, because the next one cannot be begun", "file", f.cfg.Path, "error", err)
		return
	}
	_ = old.Close() // it was written without an error
	f.first, f.began, f.owesTotals = 0, time.Time{}, f.counts
	select {
	case f.rotated <- struct{}{}:
	default:
	}
}

// archive compresses volumes and removes the oldest, until ctx is done.
func (f *file) archive(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.rotated:
			f.tidy(ctx)
		}
	}
}

// tidy compresses the volumes that are not, and removes those that are too many. The oldest are removed first: that is what gives a
// full disk room.
func (f *file) tidy(ctx context.Context) {
	all, _ := volumes(f.cfg.Path) // nothing can be read or removed in a directory that cannot be listed
	for len(all) > f.cfg.Keep {
		err := os.Remove(all[0].path)
		if v := all[0]; err == nil && !v.zst {
			_ = os.Remove(v.path + packed) // a kill may have left both
		}
		if err != nil {
			f.stream.log.Warn("events: an old file cannot be removed", "file", all[0].path, "error", err)
		}
		all = all[1:]
	}
	for _, v := range all {
		if v.zst || ctx.Err() != nil {
			continue
		}
		if err := pack(ctx, v.path); err != nil && ctx.Err() == nil {
			f.stream.log.Warn("events: a file stays as it is", "file", v.path, "error", err)
			return
		}
	}
}

// pack compresses a file, and removes it when the other is durable.
func pack(ctx context.Context, path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	unready := path + packed + unfinished
	out, err := os.OpenFile(unready, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, fileMode)
	if err != nil {
		return err
	}
	if st, err := in.Stat(); err == nil {
		_ = out.Chmod(st.Mode().Perm()) // as the file, whatever the umask is; a file system without modes is no reason not to go on
	}
	defer func() {
		if err != nil {
			_ = os.Remove(unready) // what is left is written over the next time
		}
	}()
	err = errors.Join(squeeze(ctx, out, in), out.Sync(), out.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(unready, path+packed); err != nil {
		return err
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return os.Remove(path)
}

// squeeze compresses on one core: the mail needs the others.
func squeeze(ctx context.Context, out io.Writer, in io.Reader) error {
	z, err := zstd.NewWriter(out, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return err
	}
	_, err = io.Copy(z, patient{ctx, in})
	return errors.Join(err, z.Close())
}

// patient is a reader that ends with its context.
type patient struct {
	ctx context.Context
	io.Reader
}

// Read implements io.Reader.
func (p patient) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	return p.Reader.Read(b)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
