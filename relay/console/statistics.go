package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Statistic is what was sampled in one minute or hour, in recipients but where it says otherwise. Time for which there is none was not
// sampled: the daemon did not run.
type Statistic struct {
	Time       int64 `json:"time"`     // its beginning, Unix seconds
	Span       int64 `json:"span"`     // seconds
	Messages   int64 `json:"messages"` // taken
	Recipients int64 `json:"recipients"`
	Sent       int64 `json:"sent"`
	Deferred   int64 `json:"deferred"` // visits of a recipient
	Bounced    int64 `json:"bounced"`
	Expired    int64 `json:"expired"`
	HandedBack int64 `json:"handed_back"`
	Deleted    int64 `json:"deleted"`
	Peak       int64 `json:"peak"`             // most sent in one second
	Left       int64 `json:"left"`             // who waited at its end; of a site, nodes in line
	MostLeft   int64 `json:"most_left"`        // the most who waited at any second
	Queues     int64 `json:"queues,omitempty"` // in the map at its end; of the installation alone
}

// StatisticsOf says whose statistics are wanted, and how many. Without site, campaign and tenant they are the installation's.
type StatisticsOf struct {
	Site     string
	Campaign string // by its name, or of mail without one the domain of its sender
	Tenant   string // alone, or that of Campaign
	Hours    bool   // by hour, for 31 days; else by minute, for a day
	Last     int    // so many minutes or hours up to now
}

// StatisticsSource has the statistics.
type StatisticsSource interface {
	// Statistics returns those that were sampled, the oldest first. An error says that there are none of such a key, and of which there are.
	Statistics(of StatisticsOf) ([]Statistic, error)
}

// How many minutes and hours are kept.
const (
	MostMinutes = 24 * 60
	MostHours   = 31 * 24
)

// errNoStatistics is returned when the daemon has no statistics.
var errNoStatistics = errors.New("the daemon is older than this command and has no statistics")

func (s *Server) serveStatistics(w http.ResponseWriter, r *http.Request) {
	of, err := statisticsOf(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	points, err := s.src.Statistics(of)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	writeAll(w, points)
}

// statisticsOf reads a query.
func statisticsOf(q url.Values) (of StatisticsOf, err error) {
	of = StatisticsOf{Site: q.Get("site"), Campaign: q.Get("campaign"), Tenant: q.Get("tenant")}
	most := MostMinutes
	switch span := q.Get("span"); span {
	case "", "minutes":
	case "hours":
		of.Hours, most = true, MostHours
	default:
		return of, fmt.Errorf(`span: %q is not "minutes" or "hours"`, span)
	}
	if of.Site != "" && (of.Campaign != "" || of.Tenant != "") {
		return of, errors.New("site: a site has no campaign and no tenant; ask for one of them")
	}
	of.Last, err = number(q, "last", most, 1, most)
	return of, err
}

// Statistics walks over minutes or hours, the oldest first. An error ends the walk and comes with a zero Statistic.
func (c *Client) Statistics(ctx context.Context, of StatisticsOf) iter.Seq2[Statistic, error] {
	q := url.Values{"last": {strconv.Itoa(of.Last)}, "span": {"minutes"}}
	if of.Hours {
		q.Set("span", "hours")
	}
	for name, value := range map[string]string{"site": of.Site, "campaign": of.Campaign, "tenant": of.Tenant} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return instead(walk[Statistic](ctx, c, "/v1/statistics?"+q.Encode()), errNoStatistics)
}
