package scenario

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// inNamespace names, in the environment of a test that has started itself in a network namespace, the daemon under test.
const inNamespace = "MILLRACE_IN_NAMESPACE"

// lacking skips the test because this machine lacks something. In CI nothing may be missing.
func lacking(t *testing.T, what error) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}

// alone runs the test that calls it once more, in a network namespace of its own, and reports whether this is the run in the
// namespace. What the test starts there is in the namespace too.
func alone(t *testing.T) bool {
	t.Helper()
	if os.Getenv(inNamespace) != "" {
		return true
	}
	if os.Geteuid() != 0 {
		lacking(t, errors.New("only root can make a network namespace"))
	}
	if _, err := exec.LookPath("ip"); err != nil {
		lacking(t, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"-test.run=^" + t.Name() + "$", "-test.v", "-test.timeout=4m"}
	if *full {
		args = append(args, "-full")
	}
	cmd := exec.CommandContext(t.Context(), self, args...)
	cmd.Env = append(os.Environ(), inNamespace+"="+binary)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.CombinedOutput()
	t.Logf("in the namespace:\n%s", out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// bare sets the namespace up: loopback with 10.8.0.0/16 on it as well, which are no addresses of this host for whoever asks for
// them, and no IPv6.
func bare(t *testing.T) {
	t.Helper()
	for _, args := range [][]string{{"link", "set", "lo", "up"}, {"route", "add", "local", "10.8.0.0/16", "dev", "lo"}} {
		if out, err := exec.CommandContext(t.Context(), "ip", args...).CombinedOutput(); err != nil {
			t.Fatalf("ip %v: %v: %s", args, err, out)
		}
	}
	if err := os.WriteFile("/proc/sys/net/ipv6/conf/all/disable_ipv6", []byte("1"), 0); err != nil {
		lacking(t, err)
	}
}
