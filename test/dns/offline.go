package dns

import (
	"errors"
	"time"

	mdns "github.com/miekg/dns"
)

// Offline makes a server without sockets and goroutines: whoever simulates a network asks it by Answer. It needs no Close.
func Offline(zone string) (*Server, error) {
	s := &Server{faults: make(map[string][]*Fault), counts: make(map[query]int)}
	if err := s.Add(zone); err != nil {
		return nil, err
	}
	return s, nil
}

// Answer returns the packets that the server sends in reply to one packet, and how long it waits before. Over TCP the packets
// have no length in front. An error ends a connection over TCP; over UDP nothing is sent then.
func (s *Server) Answer(packet []byte, udp bool) (packets [][]byte, after time.Duration, err error) {
	ask := new(mdns.Msg)
	if err := ask.Unpack(packet); err != nil {
		return nil, 0, err
	}
	if len(ask.Question) != 1 {
		return nil, 0, errors.New("not one question")
	}
	r, after := s.reply(ask, udp)
	if r.hang {
		return nil, after, errors.New("the server hangs up")
	}
	if r.raw != nil {
		packets = append(packets, r.raw)
	}
	if r.msg != nil {
		raw, err := r.msg.Pack()
		if err != nil {
			return nil, after, err
		}
		packets = append(packets, raw)
	}
	return packets, after, nil
}
