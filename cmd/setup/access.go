package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
)

// identity is a user as the file system sees him.
type identity struct {
	name   string
	uid    uint32
	groups []uint32
}

// lookUser finds a user and his groups.
func lookUser(name string) (identity, error) {
	u, err := user.Lookup(name)
	if err != nil {
		return identity{}, err
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return identity{}, err
	}
	groups, err := u.GroupIds()
	if err != nil {
		return identity{}, err
	}
	id := identity{name: name, uid: uint32(uid)}
	for _, g := range groups {
		if gid, err := strconv.ParseUint(g, 10, 32); err == nil {
			id.groups = append(id.groups, uint32(gid))
		}
	}
	return id, nil
}

// connect returns why the user cannot connect to the unix socket at path, as far as modes say it. A socket that is not there
// is no obstacle: it has its mode from the daemon that makes it.
func (id identity) connect(path string) error {
	const search, write = 1, 2
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if err := id.may(search, dir); err != nil {
			return err
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	return id.may(write, path)
}

// may checks one bit of the mode that holds for the user: of the owner, of the group or of all others.
func (id identity) may(bit fs.FileMode, path string) error {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	sys, ok := info.Sys().(*syscall.Stat_t)
	if !ok || id.uid == 0 {
		return nil
	}
	mode := info.Mode().Perm()
	switch {
	case sys.Uid == id.uid:
		mode >>= 6
	case slices.Contains(id.groups, sys.Gid):
		mode >>= 3
	}
	if mode&bit == 0 {
		return fmt.Errorf("user %s may not pass %s (mode %04o, user %d, group %d)", id.name, path, info.Mode().Perm(), sys.Uid, sys.Gid)
	}
	return nil
}
