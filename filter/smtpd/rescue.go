package smtpd

import "strings"

// RescueName is what a transport calls itself in LHLO that brings the backlog of an MTA: see package cmd/rescue, which sets the transport
// up. The name makes the session one that rescues. So a rescue needs no setting of ours and goes on over a restart of the daemon. It
// gives a peer nothing that the peer has not: who may speak to a listener for filters may have any mail sent to anyone.
const RescueName = "rescue.millrace.invalid"

// RescueKeyword stands in the reply to such an LHLO: whoever sets the transport up can see that the door knows a rescue.
const RescueKeyword = "X-MILLRACE-RESCUE"

// NotTaken begins the text of a reply about mail that we do not take, however often it is offered. The reason follows.
const NotTaken = "not taken: "

// rescues reports that the client brings the backlog of an MTA. All is taken that can be. The rest stays with the client: the MTA at
// reinject would send it here again, and a permanent failure would have it returned to its sender.
func (s *session) rescues() bool {
	return s.role == Filter && s.lmtp && strings.EqualFold(s.client.Helo, RescueName)
}

// upstream is the MTA that gets what is not taken; nil: nobody does.
func (s *session) upstream() *upstream {
	if s.rescues() {
		return nil
	}
	return s.door.upstream
}

// soft makes a temporary failure of a permanent one.
func (r reply) soft() reply {
	if r.code < 500 {
		return r
	}
	r.code = 451
	if r.enhanced != "" {
		r.enhanced = "4" + r.enhanced[1:]
	}
	return r
}
