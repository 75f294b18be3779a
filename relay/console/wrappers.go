package console

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"strconv"

	"github.com/millrace/millrace/relay"
)

// MaxWrappers is how many rows a list of wrappers has, unless another number is asked for. One row more has all others.
const MaxWrappers = 100

// maxFlows is how many rows can be asked for.
const maxFlows = 100 * MaxWrappers

// errNoWrappers is returned when the daemon has no list of wrappers.
var errNoWrappers = errors.New("the daemon is older than this command and has no list of wrappers")

func (s *Server) serveWrappers(w http.ResponseWriter, r *http.Request) {
	most, err := number(r.URL.Query(), "most", MaxWrappers, 1, maxFlows)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	writeAll(w, s.src.Sharing(most))
}

// Wrappers walks over so many flows at most, those with the most bytes of mail first, and one without a name for all others. An error
// ends the walk and comes with a zero Sharing.
func (c *Client) Wrappers(ctx context.Context, most int) iter.Seq2[relay.Sharing, error] {
	return instead(walk[relay.Sharing](ctx, c, "/v1/wrappers?most="+strconv.Itoa(most)), errNoWrappers)
}
