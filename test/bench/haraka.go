package main

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/millrace/millrace/test/process"
)

// harakaVersion is the release of Haraka that is measured beside Millrace.
const harakaVersion = "3.3.4"

// haraka returns the program of Haraka, which npm installs into the user's cache when it is not there. The error says what fails.
func haraka() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(cache, "millrace-test", "haraka")
	program := filepath.Join(dir, "node_modules", "Haraka", "bin", "haraka")
	if _, err := os.Stat(program); err == nil {
		return program, nil
	}
	cmd := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--loglevel=error", "Haraka@"+harakaVersion)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%v fails: %w: %s", cmd.Args, err, out)
	}
	return program, nil
}

// harakaConfig are the files that differ from those that come with Haraka: it keeps each message in its queue on disk, answers, and
// sends it on to a sink. Every client may relay.
func harakaConfig(addr string, to *far) map[string]string {
	host, port, _ := net.SplitHostPort(to.addr)
	return map[string]string{
		"config/smtp.ini":     "listen=" + addr + "\nnodes=cpus\n",
		"config/me":           "haraka.test\n",
		"config/plugins":      "everything\n",
		"config/log.ini":      "level=error\n",
		"config/outbound.ini": "enable_tls=false\n",
		"plugins/everything.js": "exports.hook_rcpt = function (next, connection) { connection.relaying = true; next(OK); };\n" +
			"exports.hook_get_mx = function (next) { next(OK, { priority: 0, exchange: '" + host + "', port: " + port + " }); };\n",
	}
}

// startHaraka starts a Haraka that sends all mail to a sink.
func startHaraka(dir string, to *far) (p *process.Process, addr string, err error) {
	program, err := haraka()
	if err != nil {
		return nil, "", err
	}
	if addr, err = process.FreeAddr(); err != nil {
		return nil, "", err
	}
	if err := os.CopyFS(filepath.Join(dir, "config"), os.DirFS(filepath.Join(filepath.Dir(program), "..", "config"))); err != nil {
		return nil, "", err
	}
	for name, text := range harakaConfig(addr, to) {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			return nil, "", err
		}
	}
	if err := os.MkdirAll(filepath.Join(dir, "queue"), 0o755); err != nil {
		return nil, "", err
	}
	p, err = process.Start(exec.Command("node", program, "-c", dir), filepath.Join(dir, "haraka.out"))
	if err != nil {
		return nil, "", err
	}
	err = p.Await(time.Minute, func() error { return greets(addr) })
	if err != nil {
		return nil, "", errors.Join(err, endPeer(p))
	}
	return p, addr, nil
}

// greets reports whether an SMTP server says that it is ready.
func greets(addr string) error {
	nc, err := net.DialTimeout("tcp", addr, time.Second)
	if err != nil {
		return err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(10 * time.Second)) // an error shows at the read
	return hear(bufio.NewReader(nc), 1)
}
