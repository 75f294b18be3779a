package process

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"strings"
)

// tailSize is how much of a log an error quotes, in bytes.
const tailSize = 2000

// Output returns what this process has written so far. What earlier processes wrote to the same file is left out.
func (p *Process) Output() string {
	text, err := os.ReadFile(p.output)
	if err != nil {
		return err.Error()
	}
	return string(text[min(p.from, int64(len(text))):])
}

// Tail returns the end of Output, for an error message.
func (p *Process) Tail() string { return end(p.Output()) }

// Tail returns the end of a file, for an error message.
func Tail(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	return end(string(text))
}

func end(text string) string { return strings.TrimSpace(text[max(0, len(text)-tailSize):]) }

// FreeAddr returns an address of 127.0.0.1 where nobody listens now. The servers of this package cannot be asked which
// port they were given, so the test chooses it for them. The port is below those that the kernel gives to outgoing connections: one of
// them could take it before the server does.
func FreeAddr() (addr string, err error) {
	for range 100 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20_000+rand.IntN(12_000))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", err
}
