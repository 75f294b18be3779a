package milter

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	lib "github.com/emersion/go-milter"
)

const (
	wantActions  = lib.OptRemoveRcpt | lib.OptAddHeader | lib.OptSetSymList
	wantProtocol = lib.OptNoHeaderReply | lib.OptNoBodyReply | lib.OptNoData | lib.OptNoUnknown | lib.OptHeaderLeadingSpace
)

// granted is the part of our wishes that the MTA offers. The library would ask for all wishes, and Sendmail refuses a
// filter that asks for something it does not have.
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

// symbols is the list of macros to ask for. For the end of the header and the end of the message the list is short,
// because Postfix sends these macros before every header field and every body chunk. Neither may be missing or empty:
// Sendmail looks at the list for the end of the header when it sends that for the end of the message, and to both MTAs
// an empty list means their own.
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
		lib.StageRcptTo:   {"{rcpt_mailer}", "{rcpt_host}", "{rcpt_addr}"},
		lib.StageEOH:      {"i"},
		lib.StageEOM:      {"i"},
	}
}

// names are the names of all macros in a list of symbols, without braces.
func names(symbols map[lib.Stage][]string) []string {
	var all []string
	for _, stage := range symbols {
		for _, name := range stage {
			if name = strings.Trim(name, "{}"); !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}
