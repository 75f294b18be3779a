package stream

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
)

// kumoRecord is a log record of KumoMTA. It has the fields that its own reader requires, and those that are known here; see
// https://docs.kumomta.com/reference/log_record/.
type kumoRecord struct {
	Type         string         `json:"type"`
	ID           string         `json:"id"`
	Sender       string         `json:"sender"`
	Recipient    string         `json:"recipient"`
	Queue        string         `json:"queue"`
	Site         string         `json:"site"`
	Size         int64          `json:"size"`
	Response     kumoResponse   `json:"response"`
	PeerAddress  *kumoAddress   `json:"peer_address"`
	Timestamp    int64          `json:"timestamp"`
	Created      int64          `json:"created"`
	NumAttempts  uint16         `json:"num_attempts"`
	Class        string         `json:"bounce_classification"`
	EgressPool   *string        `json:"egress_pool"`
	EgressSource *string        `json:"egress_source"`
	Feedback     *string        `json:"feedback_report"`
	Meta         map[string]any `json:"meta"`
	Headers      map[string]any `json:"headers"`
	Delivery     *string        `json:"delivery_protocol"`
	Reception    *string        `json:"reception_protocol"`
	NodeID       string         `json:"nodeid"`
}

type kumoResponse struct {
	Code     uint16        `json:"code"`
	Enhanced *kumoEnhanced `json:"enhanced_code"`
	Content  string        `json:"content"`
	Command  *string       `json:"command"`
}

type kumoEnhanced struct {
	Class   uint8  `json:"class"`
	Subject uint16 `json:"subject"`
	Detail  uint16 `json:"detail"`
}

type kumoAddress struct {
	Name string `json:"name"`
	Addr string `json:"addr"`
}

// kumoTypes are the record types. What KumoMTA has no type for, its readers are not shown: held replies and overflow are about mail
// that is not taken, and a deferral repeats its transient failures. Mail that goes back to the MTA is a Delivery to it, with
// meta.handed_back.
var kumoTypes = map[Kind]string{
	Reception: "Reception", Delivery: "Delivery", TransientFailure: "TransientFailure", Bounce: "Bounce", Expiration: "Expiration",
	HandedBack: "Delivery", Deleted: "AdminBounce", Suppressed: "AdminBounce",
}

// kumoClasses are KumoMTA's classes of bounces, by ours.
var kumoClasses = map[string]string{
	"greylisting": "TransientFailure", "rate": "PolicyRelated", "reputation": "SpamBlock", "mailbox-full": "QuotaIssues",
	"bad-mailbox": "InvalidRecipient", "bad-domain": "BadDomain", "policy": "PolicyRelated", "auth": "AuthenticationFailed",
	"content": "ContentRelated", "tls": "BadConfiguration", "network": "NoAnswerFromHost",
}

// kumoSource is what of a record KumoMTA has a field for.
type kumoSource struct {
	Time       time.Time `json:"time"`
	ID         string    `json:"id"`
	QueueID    string    `json:"queue_id"`
	MessageID  string    `json:"message_id"`
	Sender     string    `json:"sender"`
	Recipient  string    `json:"recipient"`
	Recipients []string  `json:"recipients"`
	Domain     string    `json:"domain"`
	Site       string    `json:"site"`
	Relay      string    `json:"relay"`
	Tenant     string    `json:"tenant"`
	Campaign   string    `json:"campaign"`
	Rule       string    `json:"rule"`
	Notice     bool      `json:"notice"`
	Size       int64     `json:"size"`
	Client     string    `json:"client"`
	Arrived    time.Time `json:"arrived"`
	Visits     int64     `json:"visits"`
	Class      string    `json:"class"`
	Delay      float64   `json:"delay"`
	Reason     string    `json:"reason"`
	Reply      struct {
		Code     uint16 `json:"code"`
		Enhanced string `json:"enhanced"`
		Text     string `json:"text"`
	} `json:"reply"`
}

// cancelledByAdmin is the status of mail that an admin has returned, see package relay.
const cancelledByAdmin = "5.7.1"

// appendKumo appends a record in KumoMTA's form: none for a kind that it has not, and one for each recipient of a reception.
func appendKumo(out []byte, k Kind, text []byte, hostname string) []byte {
	kind, ok := kumoTypes[k]
	if !ok {
		return out
	}
	var from kumoSource
	if json.Unmarshal(text, &from) != nil {
		return out
	}
	if k == Bounce && from.Relay == "" && from.Reply.Code == 554 && from.Reply.Enhanced == cancelledByAdmin {
		kind = "AdminBounce"
	}
	to := from.kumo(k, kind, hostname)
	rcpts := from.Recipients
	if from.Recipient != "" {
		rcpts = []string{from.Recipient}
	}
	for _, rcpt := range rcpts {
		to.Recipient = rcpt
		to.Queue = kumoQueue(&from, rcpt)
		b, err := json.Marshal(&to)
		if err != nil {
			continue // no value in it can fail
		}
		out = append(append(out, b...), '\n')
	}
	return out
}

// kumo is the record without its recipient.
func (f *kumoSource) kumo(k Kind, kind, hostname string) kumoRecord {
	smtp := "ESMTP"
	r := kumoRecord{
		Type: kind, ID: f.ID, Sender: f.Sender, Size: f.Size, Timestamp: f.Time.Unix(), Created: f.created().Unix(),
		NumAttempts: uint16(min(f.Visits, 1<<16-1)), Class: cmp.Or(kumoClasses[f.Class], "Uncategorized"),
		Response: f.response(), Meta: f.meta(k), Headers: map[string]any{}, Reception: &smtp, NodeID: nodeID(hostname),
	}
	if f.MessageID != "" {
		r.Headers["Message-ID"] = "<" + f.MessageID + ">"
	}
	if k == Reception {
		r.PeerAddress = peerAddress(f.Client)
		r.Response = kumoResponse{Code: 250}
		return r
	}
	r.Site, r.PeerAddress, r.Delivery = f.Site, peerAddress(f.Relay), &smtp
	return r
}

// created is when the message came.
func (f *kumoSource) created() time.Time {
	if !f.Arrived.IsZero() {
		return f.Arrived
	}
	return f.Time.Add(-time.Duration(f.Delay * float64(time.Second)))
}

func (f *kumoSource) meta(k Kind) map[string]any {
	meta := make(map[string]any)
	for name, value := range map[string]string{"tenant": f.Tenant, "campaign": f.Campaign, "queue_id": f.QueueID, "rule": f.Rule} {
		if value != "" {
			meta[name] = value
		}
	}
	if f.Notice {
		meta["notice"] = true
	}
	if k == HandedBack {
		meta["handed_back"] = true
	}
	return meta
}

func (f *kumoSource) response() kumoResponse {
	return kumoResponse{Code: cmp.Or(f.Reply.Code, 400), Enhanced: enhanced(f.Reply.Enhanced), Content: cmp.Or(f.Reply.Text, f.Reason)}
}

// enhanced is a status code in its parts, nil for what is none.
func enhanced(s string) *kumoEnhanced {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return nil
	}
	var n [3]uint64
	for i, part := range parts {
		var err error
		if n[i], err = strconv.ParseUint(part, 10, 10); err != nil {
			return nil
		}
	}
	if n[0] > 9 {
		return nil
	}
	return &kumoEnhanced{uint8(n[0]), uint16(n[1]), uint16(n[2])}
}

// kumoQueue is "campaign:tenant@domain", as far as they are known.
func kumoQueue(f *kumoSource, rcpt string) string {
	before := f.Tenant
	if f.Campaign != "" {
		before = f.Campaign + ":" + f.Tenant
	}
	if before != "" {
		before += "@"
	}
	return before + cmp.Or(f.Domain, relay.Domain(rcpt))
}

// peerAddress reads "name[address]:port", nil for what is no such thing.
func peerAddress(s string) *kumoAddress {
	name, rest, ok := strings.Cut(s, "[")
	addr, _, end := strings.Cut(rest, "]")
	a, err := netip.ParseAddr(addr)
	if !ok || !end || err != nil {
		return nil
	}
	return &kumoAddress{name, a.String()}
}

// nodeID is a UUID that this host always has (RFC 9562 section 5.8).
func nodeID(hostname string) string {
	sum := sha256.Sum256(append([]byte("millrace "), hostname...))
	id := bytes.Clone(sum[:16])
	id[6], id[8] = id[6]&0x0f|0x80, id[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
