package config

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// Memory is how much of it this process may have.
type Memory struct {
	Bytes int64
	Group bool // a control group's limit, made for the service or its container; else it is all that the machine has
}

// ReadMemory asks the system, of which root is the file system, for the memory of the machine and for the limits of the
// control groups (version 1 or 2) that this process is in.
func ReadMemory(root fs.FS) (Memory, error) {
	total, err := totalMemory(root)
	if err != nil {
		return Memory{}, err
	}
	m := Memory{Bytes: total}
	for _, file := range groupLimits(root) {
		text, err := fs.ReadFile(root, file)
		if err != nil {
			continue // no limit is set at this level, or the file belongs to a group outside of our container
		}
		limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && limit < m.Bytes { // "max" and the largest numbers are no limits
			m = Memory{Bytes: limit, Group: true}
		}
	}
	return m, nil
}

// totalMemory reads MemTotal of /proc/meminfo.
func totalMemory(root fs.FS) (int64, error) {
	text, err := fs.ReadFile(root, "proc/meminfo")
	if err != nil {
		return 0, fmt.Errorf("memory of this machine: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		value, found := strings.CutPrefix(line, "MemTotal:")
		if !found {
			continue
		}
		kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
		if err != nil || kb <= 0 || kb > math.MaxInt64>>10 {
			break
		}
		return kb << 10, nil
	}
	return 0, errors.New("memory of this machine: /proc/meminfo has no MemTotal")
}

// groupLimits are the files that may have a limit for this process: that of its own groups and of those above.
func groupLimits(root fs.FS) (files []string) {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil // a kernel without control groups
	}
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for lines.Scan() {
		_, rest, _ := strings.Cut(lines.Text(), ":")
		controllers, group, found := strings.Cut(rest, ":")
		top, name := "sys/fs/cgroup", "memory.max"
		switch {
		case !found:
			continue
		case controllers == "memory":
			top, name = "sys/fs/cgroup/memory", "memory.limit_in_bytes"
		case controllers != "":
			continue
		}
		for group = path.Clean("/" + group); ; group = path.Dir(group) {
			files = append(files, path.Join(top, group, name))
			if group == "/" {
				break
			}
		}
	}
	return files
}

// MemoryFor is the limit of queue.max_bytes on a system that allows so much: the one of the file, or without one three
// quarters of what a control group allows to the service, or a third of a machine that has other work to do. Its error is
// Errors: a limit that the system could not keep would end in the kernel killing the daemon.
func (c *Config) MemoryFor(m Memory) (int64, error) {
	given := c.Queue.MaxBytes
	switch {
	case given == 0 && m.Group:
		return m.Bytes / 4 * 3, nil
	case given == 0:
		return m.Bytes / 3, nil
	case given/5*6 <= m.Bytes:
		return given, nil
	}
	where := "this machine has"
	if m.Group {
		where = "the control group of the service has (MemoryMax of its unit, or the container's limit)"
	}
	return 0, Errors{{File: c.File, Key: "queue.max_bytes", Text: fmt.Sprintf(
		"%d and a fifth for the rest of the daemon do not fit into the %d bytes that %s; give at most %d, or leave the key out for a share",
		given, m.Bytes, where, m.Bytes/6*5)}}
}
