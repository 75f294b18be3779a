package scenario

import (
	_ "embed"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/millrace/millrace/test/mta"
)

// systemctl stands in for systemd, which runs in no test: it does what the unit says about user, directories and umask.
//
//go:embed testdata/systemctl
var systemctl string

// world runs a script in a copy of this machine's file system, with a network of its own. $REPO is this repository. Nothing
// that the script does is seen outside.
const world = `set -eu
mount -t tmpfs millrace "$DIR"
mkdir "$DIR/upper" "$DIR/work" "$DIR/root"
mount -t overlay -o "lowerdir=/,upperdir=$DIR/upper,workdir=$DIR/work" millrace "$DIR/root"
for dir in /proc /dev "$REPO" $(go env GOROOT GOMODCACHE GOCACHE); do
	mkdir -p "$DIR/root$dir"
	mount --rbind "$dir" "$DIR/root$dir"
done
ip link set lo up
cp "$DIR.systemctl" "$DIR/root/usr/bin/systemctl"
exec chroot "$DIR/root" sh -euc "cd $REPO
$SCRIPT"
`

// need skips a test where a program is missing; in CI it fails.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") != "" {
			t.Fatal(err)
		} else if err != nil {
			t.Skipf("%v: test/run installs it", err)
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root may mount a copy of the file system")
	}
}

// inWorld runs a script in world and returns its output.
func inWorld(t *testing.T, script string) string {
	t.Helper()
	repo, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "world")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+".systemctl", []byte(systemctl), 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", world)
	cmd.Env = append(os.Environ(), "DIR="+dir, "REPO="+repo, "SCRIPT="+script, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v:\n%s", err, out)
	}
	return string(out)
}

// steps are all commands below these headings of a page of contrib.
func steps(t *testing.T, page string, headings ...string) []string {
	t.Helper()
	var all []string
	for _, heading := range headings {
		blocks, err := mta.Commands(filepath.Join(ContribDir, page), heading)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, blocks...)
	}
	return all
}

// TestInstall follows contrib/systemd, with the socket of contrib/postfix, and takes everything away again. The unit has no
// word that systemd does not know, the service can write where it must, logs rotate, a reload of a broken file fails, and a
// member of the group sees the status.
func TestInstall(t *testing.T) {
	need(t, "unshare", "ip", "logrotate", "systemd-analyze", "useradd", "go")
	mta.Require(t, mta.PostfixPart) // for its group
	install := steps(t, "systemd/README.md", "Install it")
	away := steps(t, "systemd/README.md", "Take it away again")
	out := inWorld(t, strings.Join([]string{
		install[0],
		"sed -i 's/mail.example.org/mail.sender.test/; s/^mode .*/mode = \"deliver\"/' /etc/millrace/millrace.toml",
		"echo verify:; systemd-analyze verify /etc/systemd/system/millrace.service; echo :verify",
		steps(t, "postfix/README.md", "The socket")[0],
		install[1],
		"echo verify:; systemd-analyze verify /etc/systemd/system/millrace.service; echo :verify",
		"systemctl reload millrace",
		"echo 'mdoe = 1' >>/etc/millrace/millrace.toml; if systemctl reload millrace; then echo a broken file is no error; exit 1; fi",
		"sed -i '$d' /etc/millrace/millrace.toml",
		"setpriv --reuid=nobody --regid=millrace --clear-groups millrace status >/dev/null",
		"echo line >>/var/log/millrace/mail.log; logrotate -f /etc/logrotate.d/millrace",
		"until [ -e /var/log/millrace/mail.log ]; do sleep 0.1; done",
		"stat -c '%n %U:%G %a' /etc/millrace/millrace.toml /var/lib/millrace /run/millrace/control.sock /var/log/millrace/mail.log*",
		away[0], away[1],
		"echo left:; ls -d /etc/millrace /etc/systemd/system/millrace* /etc/logrotate.d/millrace /usr/bin/millrace /var/l*/millrace 2>/dev/null || true",
		"id millrace 2>/dev/null || true",
	}, "\n"))
	for _, want := range []string{
		"/etc/millrace/millrace.toml root:millrace 640", "/var/lib/millrace millrace:millrace 700", "/run/millrace/control.sock millrace:millrace 660",
		"/var/log/millrace/mail.log millrace:millrace 640", "/var/log/millrace/mail.log.1 millrace:millrace 640",
	} {
		if !strings.Contains(out, "\n"+want+"\n") {
			t.Errorf("%q is not so", want)
		}
	}
	if strings.Count(out, "verify:\n:verify\n") != 2 || !strings.HasSuffix(out, "left:\n") {
		t.Errorf("systemd-analyze complains, or something is left")
	}
	if t.Failed() {
		t.Log(out)
	}
}

// TestNotify: systemd is told when the daemon is ready, when a reload begins and is over, and when it stops.
func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	systemd, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer systemd.Close()
	s, err := New(t.TempDir(), binary, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Millrace.Env = append(s.Millrace.Env, "NOTIFY_SOCKET="+path)
	if err := s.StartMillrace(); err != nil {
		t.Fatal(err)
	}
	told := func(want ...string) {
		t.Helper()
		buf := make([]byte, 1000)
		_ = systemd.SetReadDeadline(time.Now().Add(patience))
		n, err := systemd.Read(buf)
		for _, w := range want {
			if !strings.Contains("\n"+string(buf[:n]), "\n"+w) {
				t.Errorf("systemd was told %q, %v; want %s", buf[:n], err, w)
			}
		}
	}
	told("READY=1")
	s.Millrace.Signal(syscall.SIGHUP)
	told("RELOADING=1", "MONOTONIC_USEC=")
	told("READY=1", "STATUS=")
	if err := s.Millrace.Stop(patience); err != nil {
		t.Error(err)
	}
	told("STOPPING=1")
}
