package snapshot

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// ownership refuses a state directory that the daemon cannot use to the end, or that others can change. It looks before
// anything is changed: a recovery that stops in the middle at a file of another user would leave mail waiting in silence. The
// usual cause is one start by hand as root, so a start as root in the directory of another user is refused as well. me is
// the user as whom the daemon runs.
func ownership(dir string, me int) error {
	st, err := os.Stat(dir)
	if err != nil {
		return stateError(dir, err)
	}
	if owner := uidOf(st); me == 0 && owner > 0 {
		return badState(dir, fmt.Sprintf("it belongs to %s, who could not read what root leaves in it; start as that user, as in: setpriv --reuid=%d --clear-groups millrace serve",
			userName(owner), owner))
	}
	bad := inspect(dir, st, me)
	for _, sub := range []string{".", journalDir, snapshotDir} {
		found, err := inspectAll(filepath.Join(dir, sub), sub == ".", me)
		if bad = append(bad, found...); err != nil && len(bad) == 0 {
			return stateError(dir, err)
		}
	}
	if len(bad) == 0 {
		return nil
	}
	if n := len(bad) - 1; n > 0 {
		bad[0] += fmt.Sprintf(" (and %d more)", n)
	}
	repair := fmt.Sprintf("chmod -R u+rwX,go-w %s", dir)
	if me != 0 {
		repair = fmt.Sprintf("chown -R %d %s && %s", me, dir, repair)
	}
	return badState(dir, fmt.Sprintf("%s; repair: %s", bad[0], repair))
}

// inspectAll inspects what is in dir; top is set for the state directory itself, in which other programs may have files.
func inspectAll(dir string, top bool, me int) (bad []string, err error) {
	entries, err := os.ReadDir(dir)
	if isNotExist(err) {
		return nil, nil
	}
	for _, e := range entries {
		if name := e.Name(); top && name != lockName && name != secretName && name != journalDir && name != snapshotDir && !strings.HasSuffix(name, storedExt) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if st, err := os.Stat(path); err == nil { // else it has just been deleted
			bad = append(bad, inspect(path, st, me)...)
		}
	}
	return bad, err
}

// inspect says what keeps the daemon from using path alone, in at most one line. Root reads everything; whose file it is
// says nothing then.
func inspect(path string, st fs.FileInfo, me int) []string {
	mode, owner := st.Mode().Perm(), uidOf(st)
	need := fs.FileMode(0o600)
	if st.IsDir() {
		need = 0o700
	}
	switch {
	case owner >= 0 && owner != me && me != 0:
		return []string{fmt.Sprintf("%s belongs to %s and not to %s, as whom the daemon runs", path, userName(owner), userName(me))}
	case mode&0o022 != 0:
		return []string{fmt.Sprintf("%s has mode %04o: users other than its owner can change the mail in it", path, mode)}
	case mode&need != need && me != 0:
		return []string{fmt.Sprintf("%s has mode %04o: its owner cannot read and write it", path, mode)}
	}
	return nil
}

// badState is the error for a state directory that only a human can repair.
func badState(dir, why string) error {
	return fmt.Errorf("state directory %s: %s: %w", dir, why, fs.ErrPermission)
}

// uidOf is the owner of a file, or -1 where files have none.
func uidOf(st fs.FileInfo) int {
	if s, ok := st.Sys().(*syscall.Stat_t); ok {
		return int(s.Uid)
	}
	return -1
}

// userName names a user as people know him.
func userName(uid int) string {
	if u, err := user.LookupId(strconv.Itoa(uid)); err == nil {
		return u.Username
	}
	return fmt.Sprintf("uid %d", uid)
}
