package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// disk is an ext4 file system in an image file. It can be cut off from the image, as a power cut does: what it has not
// written then is lost.
type disk struct {
	image   string
	dir     string // where it is mounted
	mounted bool
}

const diskSize = 64 << 20

// How much of the file system's own journal a cut lets through (EXT4_IOC_SHUTDOWN).
const (
	cutDefault  = 0 // all that was written reaches the image, as after a freeze
	cutFlushed  = 1 // the file system writes its own journal to the image, and no data
	cutNothing  = 2 // nothing more reaches the image: the power is off
	iocShutdown = 0x8004587d
)

// newDisk makes the file system in a file below dir, which must not lie on a disk of this kind itself. It returns
// errUnavailable where there are no loop devices.
func newDisk(dir string) (*disk, error) {
	d := &disk{image: filepath.Join(dir, "disk.img"), dir: filepath.Join(dir, "disk")}
	if err := os.MkdirAll(d.dir, 0o755); err != nil {
		return nil, err
	}
	if err := d.format(); err != nil {
		return nil, fmt.Errorf("%w: %v", errUnavailable, err)
	}
	if err := d.mount(1); err != nil {
		return nil, fmt.Errorf("%w: %v", errUnavailable, err)
	}
	if err := d.cut(cutNothing); err != nil {
		return nil, errors.Join(fmt.Errorf("%w: cutting ext4 off: %v", errUnavailable, err), d.unmount())
	}
	return d, d.remount(1)
}

func (d *disk) format() error {
	f, err := os.Create(d.image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(diskSize), f.Close()); err != nil {
		return err
	}
	return tool("mkfs.ext4", "-q", "-F", d.image)
}

// mount mounts the file system; the kernel replays its journal. commit is how many seconds ext4 waits before it writes
// data that no program has synced.
func (d *disk) mount(commit int) error {
	if err := tool("mount", "-t", "ext4", "-o", fmt.Sprintf("loop,commit=%d", commit), d.image, d.dir); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

func tool(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.200s", name, err, out)
	}
	return nil
}

// cut cuts the file system off from its image. flags is one of the cut constants.
func (d *disk) cut(flags uint32) error {
	f, err := os.Open(d.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), iocShutdown, int(flags)); err != nil {
		return fmt.Errorf("shut ext4 down: %w", err)
	}
	return nil
}

// unmount unmounts the file system. It tries for a second, because a process that is ending may still hold a file on
// it.
func (d *disk) unmount() error {
	if !d.mounted {
		return nil
	}
	var err error
	for range 200 {
		if err = unix.Unmount(d.dir, 0); err == nil {
			d.mounted = false
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("unmount %s: %w", d.dir, err)
}

// remount does what the next start of the machine does. commit is as for mount.
func (d *disk) remount(commit int) error {
	if err := d.unmount(); err != nil {
		return err
	}
	return d.mount(commit)
}

// state is the state directory on the disk.
func (d *disk) state() string { return filepath.Join(d.dir, "state") }
