package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/millrace/millrace/relay"
)

// actTimeout is until the reply to an act begins. An act on a million messages takes longer than any question.
const actTimeout = 5 * time.Minute

var (
	// ErrActUnknown is returned when an act was sent and no answer came: it may be done or not.
	ErrActUnknown = errors.New("the daemon has not answered; what was ordered may be done all the same")
	// ErrNoDrain is returned when no drain is in force.
	ErrNoDrain = errors.New("no drain is in force")
	// errNoLever is returned when the daemon knows no acts.
	errNoLever = errors.New("the daemon is older than this command and cannot do that")
)

// Act has the daemon do a, and returns what was done. The error is a Refusal if a cannot be meant, and wraps ErrNotNow while
// the daemon starts, or cannot record what it does. a.Who is not sent: the daemon sees who asks.
func (c *Client) Act(ctx context.Context, a relay.Act) (relay.ActReport, error) {
	var r relay.ActReport
	a.Who = ""
	body, err := json.Marshal(a)
	if err != nil {
		return r, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://millrace/v1/acts", bytes.NewReader(body))
	if err != nil {
		return r, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.acts.Do(req)
	if err != nil {
		return r, c.unanswered(err)
	}
	defer resp.Body.Close()
	if err := answered(resp); err != nil {
		return r, err
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&r); err != nil {
		return r, fmt.Errorf("%w: read the daemon's reply: %w", ErrActUnknown, err)
	}
	return r, nil
}

// unanswered tells an act that was never sent from one that was.
func (c *Client) unanswered(err error) error {
	why := c.explain(err)
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		return why
	}
	return fmt.Errorf("%w: %w", ErrActUnknown, why)
}

// answered is the error that an answer about acts stands for; nil for 200.
func answered(resp *http.Response) error {
	switch resp.StatusCode {
	case http.StatusOK:
		return nil
	case http.StatusBadRequest:
		return Refusal(errorText(resp))
	case http.StatusConflict:
		return errors.New(errorText(resp))
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return errNoLever
	}
	return refusal(resp)
}

// Drain asks how far the drain in force is. The error is ErrNoDrain if there is none.
func (c *Client) Drain(ctx context.Context) (relay.ActReport, error) {
	var r relay.ActReport
	err := c.object(ctx, "/v1/drain", &r)
	if errors.Is(err, ErrNotFound) {
		err = errNoLever
	}
	return r, err
}

// Pauses walks over the pauses and holds in force, the oldest first. An error ends the walk and comes with a zero Pause.
func (c *Client) Pauses(ctx context.Context) iter.Seq2[relay.Pause, error] {
	return instead(walk[relay.Pause](ctx, c, "/v1/pauses"), errNoLever)
}

// Shape walks over so many rows at most, those with the most recipients first, and one of the name "" for all others. by is BySite,
// ByDomain or BySender. An error ends the walk and comes with a zero ShapeRow.
func (c *Client) Shape(ctx context.Context, by string, most int) iter.Seq2[relay.ShapeRow, error] {
	q := url.Values{"by": {by}, "most": {strconv.Itoa(most)}}
	return instead(walk[relay.ShapeRow](ctx, c, "/v1/shape?"+q.Encode()), errNoLever)
}
