package console

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Tallied is what was counted since the first start in the state directory, whatever restarts there were. Times are Unix seconds; 0: never.
type Tallied struct {
	Messages   int64            `json:"messages"`             // taken
	Recipients int64            `json:"recipients"`           // of them
	Sent       int64            `json:"sent"`                 // recipients for whom a receiver has answered 2xx
	Deferred   int64            `json:"deferred"`             // visits of a recipient that ended in another wait
	Bounced    int64            `json:"bounced"`              // recipients refused for good
	BouncedBy  map[string]int64 `json:"bounced_by,omitempty"` // of them, by class of the refusal
	Expired    int64            `json:"expired"`              // recipients who waited longer than retry.lifetime
	HandedBack int64            `json:"handed_back"`          // recipients whose mail the MTA has again
	Suppressed int64            `json:"suppressed"`           // recipients who get no mail
	Deleted    int64            `json:"deleted"`              // recipients, by an admin
	Left       int64            `json:"left"`                 // recipients who wait or are visited now
	First      int64            `json:"first"`                // when counting began
	LastTaken  int64            `json:"last_taken"`           // when the last message was taken
	LastSent   int64            `json:"last_sent"`            // when the last recipient was sent
}

// Campaign is one campaign, list or sender, or the rest: all those of a tenant that have no counters of their own.
type Campaign struct {
	Tenant string `json:"tenant,omitempty"`
	Name   string `json:"name,omitempty"`   // as the mail itself names it
	Sender string `json:"sender,omitempty"` // domain of the envelope sender; it is the name of mail that has none
	Rest   bool   `json:"rest,omitempty"`
	Tallied
	LastMessage string `json:"last_message,omitempty"` // our id of the last message taken

	Rate   float64  `json:"rate"`             // recipients settled a second, over the last minute or so
	ETA    int64    `json:"eta,omitempty"`    // seconds until all who are left are settled at that rate; 0: not known, or nobody is left
	Faults []string `json:"faults,omitempty"` // what its check has found, or why a provider gets no more of it
}

// CampaignSource has the campaigns.
type CampaignSource interface {
	// Campaigns returns so many campaigns at most, those used last first. tenant and name narrow them; "" narrows nothing. The rests stand
	// behind the campaigns and do not count towards most. The list is made while no lock is held for long.
	Campaigns(tenant, name string, most int) []Campaign
}

// MaxCampaigns is how many campaigns are listed unless another number is asked for.
const MaxCampaigns = 1000

// mostCampaigns is how many campaigns can be asked for.
const mostCampaigns = 100 * MaxCampaigns

// ErrNoCampaign is returned when no campaign has the name asked for.
var ErrNoCampaign = errors.New(`no campaign of that name is known; "millrace campaigns" lists them`)

// errNoCampaigns is returned when the daemon has no list of campaigns.
var errNoCampaigns = errors.New("the daemon is older than this command and has no list of campaigns")

func (s *Server) serveCampaigns(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	most, err := number(q, "most", MaxCampaigns, 1, mostCampaigns)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeAll(w, s.src.Campaigns(q.Get("tenant"), "", most))
}

func (s *Server) serveCampaignsNamed(w http.ResponseWriter, r *http.Request) {
	all := s.src.Campaigns(r.URL.Query().Get("tenant"), r.PathValue("name"), MaxCampaigns)
	if len(all) == 0 {
		http.Error(w, ErrNoCampaign.Error(), http.StatusNotFound)
		return
	}
	writeAll(w, all)
}

// Campaigns walks over so many campaigns at most, of one tenant or for "" of all, those used last first, and behind them over the rests. An
// error ends the walk and comes with a zero Campaign.
func (c *Client) Campaigns(ctx context.Context, tenant string, most int) iter.Seq2[Campaign, error] {
	q := url.Values{"tenant": {tenant}, "most": {strconv.Itoa(most)}}
	return instead(walk[Campaign](ctx, c, "/v1/campaigns?"+q.Encode()), errNoCampaigns)
}

// CampaignsNamed walks over the campaigns of a name: there may be one for each tenant and each sender. The error is ErrNoCampaign when there
// is none.
func (c *Client) CampaignsNamed(ctx context.Context, tenant, name string) iter.Seq2[Campaign, error] {
	return instead(walk[Campaign](ctx, c, "/v1/campaigns/"+url.PathEscape(name)+"?"+url.Values{"tenant": {tenant}}.Encode()), ErrNoCampaign)
}
