package main

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// blackHoles are addresses that swallow every packet of a new connection: the queue of connections that nobody accepts is full
// there. So a host behaves whose packets a firewall drops.
type blackHoles struct {
	listening []int
	filling   []net.Conn
}

// open makes addr a black hole.
func (h *blackHoles) open(addr string) error {
	tcp, err := net.ResolveTCPAddr("tcp4", addr)
	if err != nil {
		return err
	}
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	h.listening = append(h.listening, fd)
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte(tcp.IP.To4())}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		return os.NewSyscallError("listen", err)
	}
	for range 3 { // a queue of length 0 has room for one
		nc, err := net.DialTimeout("tcp4", addr, 50*time.Millisecond)
		if os.IsTimeout(err) {
			return nil
		}
		if err != nil {
			return err
		}
		h.filling = append(h.filling, nc)
	}
	return errors.New("the kernel accepts connections beyond the length of the queue: " + addr)
}

func (h *blackHoles) close() {
	for _, nc := range h.filling {
		nc.Close()
	}
	for _, fd := range h.listening {
		_ = syscall.Close(fd)
	}
}
