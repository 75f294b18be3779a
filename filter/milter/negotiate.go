package milter

import (
	"encoding/binary"
	"fmt"

	lib "github.com/emersion/go-milter"
)

const (
	wantActions  = lib.OptRemoveRcpt | lib.OptSetSymList
	wantProtocol = lib.OptNoHeaderReply | lib.OptNoBodyReply | lib.OptNoData | lib.OptNoUnknown | lib.OptHeaderLeadingSpace
)

// granted is what of our wishes the MTA offers. The library would ask for all of them, and Sendmail refuses a filter
// that asks for what it does not have.
type granted struct {
	actions  lib.OptAction
	protocol lib.OptProtocol
}

// parseOffer reads the payload of the MTA's first frame: version, actions, protocol steps, 32 bits each.
func parseOffer(payload []byte) (granted, error) {
	if len(payload) < 12 {
		return granted{}, fmt.Errorf("negotiation of %d bytes instead of 12", len(payload))
	}
	if v := binary.BigEndian.Uint32(payload); v < 2 {
		return granted{}, fmt.Errorf("the MTA speaks milter version %d, at least 2 is needed", v)
	}
	return granted{
		actions:  wantActions & lib.OptAction(binary.BigEndian.Uint32(payload[4:])),
		protocol: wantProtocol & lib.OptProtocol(binary.BigEndian.Uint32(payload[8:])),
	}, nil
}

func (g granted) does(a lib.OptAction) bool    { return g.actions&a != 0 }
func (g granted) skips(p lib.OptProtocol) bool { return g.protocol&p != 0 }

// symbols is the list of macros to ask for. It is short at the end of header and of message, because Postfix sends
// that list before every header field and body chunk. Both of these stages are in it and neither is empty: Sendmail
// looks at the former when it sends the latter, and an empty list means the MTA's own.
func symbols(ruleMacros []string) map[lib.Stage][]string {
	mail := []string{"i", "{auth_authen}", "{auth_type}", "{tls_version}", "{client_addr}", "{client_name}"}
	for _, name := range ruleMacros {
		if len(name) > 1 {
			name = "{" + name + "}"
		}
		mail = append(mail, name)
	}
	return map[lib.Stage][]string{
		lib.StageConnect:  {"j", "v", "{daemon_name}", "{daemon_port}", "{client_addr}", "{client_name}"},
		lib.StageHelo:     {"{tls_version}"},
		lib.StageMailFrom: mail,
		lib.StageRcptTo:   {"{rcpt_mailer}", "{rcpt_host}"},
		lib.StageEOH:      {"i"},
		lib.StageEOM:      {"i"},
	}
}
