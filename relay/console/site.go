package console

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"github.com/millrace/millrace/relay"
)

// Site is one next hop as one source address sees it. Times are Unix seconds; 0: none.
type Site struct {
	Site     string   `json:"site"`
	Source   string   `json:"source,omitempty"`   // the [[source]]; "": mail leaves as [smtp] says
	Provider string   `json:"provider,omitempty"` // of the table of providers
	Rule     string   `json:"rule,omitempty"`     // the narrowest [[site]] that matches
	Hosts    []string `json:"hosts"`

	Window    int     `json:"window"`            // transactions that may be under way; 0: closed
	WindowBy  string  `json:"window_by"`         // who set it: "default", "learned", "reply", "rule NAME" or "provider NAME"
	Ceiling   int     `json:"ceiling,omitempty"` // connections that the site allows, as its refusals have shown; 0: not known
	Channels  int     `json:"channels"`          // transactions under way, and connections in the making
	Slow      int     `json:"slow,omitempty"`    // of them, those whose receiver has not answered for a while
	Rate      float64 `json:"rate,omitempty"`    // messages a second, at most; 0: no limit
	RateBy    string  `json:"rate_by,omitempty"` // who set it
	Goodput   float64 `json:"goodput"`           // messages a second that the site takes
	LatencyMS float64 `json:"latency_ms"`        // from the end of a body to its reply; 0: not known
	Open      int     `json:"open"`              // connections
	Idle      int     `json:"idle"`              // of them, those kept for the next message

	Waiting   int    `json:"waiting"`              // queues in line
	Nodes     int    `json:"nodes"`                // nodes in them
	AtLeast   bool   `json:"at_least,omitempty"`   // the line is too long to be looked at whole: a message may be older than Oldest, and Flows are of a part of it
	Oldest    int64  `json:"oldest,omitempty"`     // arrival of the oldest message in line
	Flows     []Flow `json:"flows,omitempty"`      // whose mail waits, those with the most nodes first; only if the site was asked for by name
	MoreFlows int    `json:"more_flows,omitempty"` // flows beside those

	Reason      string              `json:"reason,omitempty"` // why it is closed
	ClosedUntil int64               `json:"closed_until,omitempty"`
	Held        *relay.ReasonStatus `json:"held,omitempty"` // why the queues in line wait now

	LearnedSince   int64  `json:"learned_since,omitempty"`
	LastThrottle   string `json:"last_throttle,omitempty"` // the words of the last request to slow down
	LastThrottleAt int64  `json:"last_throttle_at,omitempty"`

	MessagesPerConnection int    `json:"messages_per_connection,omitempty"` // at most, by rules or learned
	RecipientsPerMessage  int    `json:"recipients_per_message,omitempty"`  // at most in one transaction, by rules or learned
	DomainsPerTransaction int    `json:"domains_per_transaction,omitempty"` // at most; 0: no rule says
	TLS                   string `json:"tls,omitempty"`                     // a mode of pool.tls

	Warming   *Warming     `json:"warming,omitempty"`   // what the plan of the source allows today
	Suspended []Suspension `json:"suspended,omitempty"` // senders whose mail waits by a [[reply]] rule
	InClear   []ClearHost  `json:"in_clear,omitempty"`  // hosts that offer TLS and get their mail in clear for a while
}

// Flow is the mail of one campaign or sender that waits for a site.
type Flow struct {
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name,omitempty"`   // the campaign, list or sender
	Sender string `json:"sender,omitempty"` // domain of the envelope sender
	Urgent bool   `json:"urgent,omitempty"`
	Queues int    `json:"queues"`
	Nodes  int    `json:"nodes"`
}

// Warming is what a plan allows a provider today, and what of it is spent, in recipients.
type Warming struct {
	Provider string `json:"provider"` // "" for those that no plan names
	Plan     int    `json:"plan"`
	Spent    int    `json:"spent"`
}

// Suspension is a sender's domain whose mail waits for a site.
type Suspension struct {
	Sender string `json:"sender"`
	Reason string `json:"reason"`
	Until  int64  `json:"until"` // Unix seconds
}

// MaxSites is how many sites are listed unless another number is asked for: the daemon sorts them, and may know a million.
const MaxSites = 1000

// maxSorted is how many sites can be asked for in order.
const maxSorted = 10 * MaxSites

// ErrNoSite is returned when no site has the name asked for.
var ErrNoSite = errors.New("no such site is known: no mail was sent there lately, or its domain is being looked up now")

// errOldDaemon is returned when the daemon has no list of sites.
var errOldDaemon = errors.New("the daemon is older than this command and has no list of sites")

// serveSites lists the sites with the most waiting nodes, the most first, or with most=0 all of them, in no order.
func (s *Server) serveSites(w http.ResponseWriter, r *http.Request) {
	most, err := number(r.URL.Query(), "most", MaxSites, 0, maxSorted)
	if err != nil {
		http.Error(w, err.Error()+"; 0 lists all sites, in no order", http.StatusBadRequest)
		return
	}
	out := list(w)
	defer out.end()
	s.src.Sites("", most, func(v Site) bool { return out.encode(v) && r.Context().Err() == nil })
}

func (s *Server) serveSitesNamed(w http.ResponseWriter, r *http.Request) {
	var out *stream
	s.src.Sites(r.PathValue("name"), MaxSites, func(v Site) bool {
		if out == nil {
			out = list(w)
		}
		return out.encode(v)
	})
	if out == nil {
		http.Error(w, ErrNoSite.Error(), http.StatusNotFound)
		return
	}
	out.end()
}

// Sites walks over so many sites at most, those with the most waiting nodes first, or for 0 over all of them, in no order. An error
// ends the walk and comes with a zero Site.
func (c *Client) Sites(ctx context.Context, most int) iter.Seq2[Site, error] {
	return instead(walk[Site](ctx, c, "/v1/sites?most="+strconv.Itoa(most)), errOldDaemon)
}

// SitesNamed walks over the sites that a name stands for, at most MaxSites: the site of that name, those with a host or of a
// provider of that name, or those to which the mail of a domain goes. The error is ErrNoSite when there is none.
func (c *Client) SitesNamed(ctx context.Context, name string) iter.Seq2[Site, error] {
	return instead(walk[Site](ctx, c, "/v1/sites/"+url.PathEscape(name)), ErrNoSite)
}

// instead puts the error missing in place of ErrNotFound, which speaks of messages.
func instead[T any](all iter.Seq2[T, error], missing error) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for v, err := range all {
			if errors.Is(err, ErrNotFound) {
				err = missing
			}
			if !yield(v, err) {
				return
			}
		}
	}
}
