package stream

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// strictRecord is a log record as KumoMTA's own reader takes it: each field has its type, those without omitempty must be there,
// and a pointer may be null.
type strictRecord struct {
	Kind        *string         `json:"type"`
	ID          *string         `json:"id"`
	Sender      *string         `json:"sender"`
	Recipient   *string         `json:"recipient"`
	Queue       *string         `json:"queue"`
	Site        *string         `json:"site"`
	Size        *uint64         `json:"size"`
	Response    *strictResponse `json:"response"`
	PeerAddress *struct {
		Name *string     `json:"name"`
		Addr *netip.Addr `json:"addr"`
	} `json:"peer_address"`
	Timestamp    *int64          `json:"timestamp"`
	Created      *int64          `json:"created"`
	NumAttempts  *uint16         `json:"num_attempts"`
	Class        *string         `json:"bounce_classification"`
	EgressPool   *string         `json:"egress_pool"`
	EgressSource *string         `json:"egress_source"`
	Feedback     *struct{}       `json:"feedback_report"`
	Meta         *map[string]any `json:"meta"`
	Headers      *map[string]any `json:"headers"`
	Delivery     *string         `json:"delivery_protocol"`
	Reception    *string         `json:"reception_protocol"`
	NodeID       *string         `json:"nodeid"`
}

type strictResponse struct {
	Code     *uint16 `json:"code"`
	Enhanced *struct {
		Class   *uint8  `json:"class"`
		Subject *uint16 `json:"subject"`
		Detail  *uint16 `json:"detail"`
	} `json:"enhanced_code"`
	Content *string `json:"content"`
	Command *string `json:"command"`
}

// strictTypes and strictClasses are the words that KumoMTA's reader knows.
var (
	strictTypes   = []string{"Reception", "Delivery", "Bounce", "TransientFailure", "Expiration", "AdminBounce", "OOB", "Feedback", "Rejection", "AdminRebind"}
	strictClasses = []string{
		"InvalidRecipient", "DNSFailure", "SpamBlock", "SpamContent", "ProhibitedAttachment", "RelayDenied", "AutoReply", "TransientFailure", "Subscribe",
		"Unsubscribe", "ChallengeResponse", "BadConfiguration", "BadConnection", "BadDomain", "ContentRelated", "InactiveMailbox", "InvalidSender",
		"MessageExpired", "NoAnswerFromHost", "PolicyRelated", "ProtocolErrors", "QuotaIssues", "RelayingIssues", "RoutingErrors", "SpamRelated",
		"VirusRelated", "AuthenticationFailed", "TooManyRecipients", "Uncategorized",
	}
	uuid = regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
)

// readStrictly reads one record as that reader would, and refuses what it would refuse.
func readStrictly(text []byte) (r strictRecord, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&r); err != nil {
		return r, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return r, errors.New("there is more behind the record")
	}
	for name, missing := range map[string]bool{
		"type": r.Kind == nil, "id": r.ID == nil, "sender": r.Sender == nil, "recipient": r.Recipient == nil, "queue": r.Queue == nil, "site": r.Site == nil,
		"size": r.Size == nil, "response": r.Response == nil || r.Response.Code == nil || r.Response.Content == nil, "timestamp": r.Timestamp == nil,
		"created": r.Created == nil, "num_attempts": r.NumAttempts == nil, "bounce_classification": r.Class == nil, "meta": r.Meta == nil,
		"headers": r.Headers == nil, "nodeid": r.NodeID == nil || !uuid.MatchString(*r.NodeID),
		"peer_address": r.PeerAddress != nil && (r.PeerAddress.Name == nil || r.PeerAddress.Addr == nil),
	} {
		if missing {
			return r, fmt.Errorf("%s is missing", name)
		}
	}
	if !slices.Contains(strictTypes, *r.Kind) || !slices.Contains(strictClasses, *r.Class) {
		return r, fmt.Errorf("%s, %s: unknown", *r.Kind, *r.Class)
	}
	return r, nil
}

// TestKumoMTA: a strict reader of KumoMTA's records takes each of ours, under the name that it has there.
func TestKumoMTA(t *testing.T) {
	c := fileIn(t.TempDir())
	c.Format = FormatKumoMTA
	s := begin(t, Config{File: []FileConfig{c}}, Deps{Hostname: "mail.example.org"})
	play(s)
	cancelled := settled(letter(34, "ann@r.example"), relay.Bounced, smtp.Reply{Code: 554, Enhanced: "5.7.1", Lines: []string{"cancelled"}})
	cancelled.Relay, cancelled.Site = "none", ""
	s.Event(cancelled)
	odd := settled(letter(35, "ann@r.example"), relay.Deferred, smtp.Reply{Code: 451, Enhanced: "4.999999.1", Lines: []string{"\xff"}})
	odd.Relay = "mx[bad"
	s.Event(odd)
	s.Close()
	var names []string
	for _, l := range linesOf(t, c.Path) {
		r, err := readStrictly([]byte(l))
		if err != nil {
			t.Fatalf("%v: %s", err, l)
		}
		names = append(names, *r.Kind)
		if *r.Timestamp < begun.Unix() || *r.Timestamp > begun.Unix()+2 || *r.Created > *r.Timestamp || *r.NodeID != nodeID("mail.example.org") {
			t.Errorf("%s", l)
		}
	}
	want := "Reception Reception Reception Delivery TransientFailure Bounce Expiration Delivery AdminBounce Reception AdminBounce AdminBounce AdminBounce TransientFailure"
	if got := strings.Join(names, " "); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}
