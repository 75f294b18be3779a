package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// serveUpgrade has the daemon replaced by the program on disk. The answer comes before the work: the process that gives it ends.
func (s *Server) serveUpgrade(w http.ResponseWriter, r *http.Request) {
	switch err := s.src.Upgrade(whoAsks(r)); {
	case errors.Is(err, ErrNotNow):
		refuse(w, err)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusConflict)
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

// upgradePoll is how often a daemon that is being replaced is asked whether it is.
const upgradePoll = 50 * time.Millisecond

// Upgrade has the daemon hand its sockets over to the program on disk, and returns the status of the new process once that answers.
// The error says why the process before goes on.
func (c *Client) Upgrade(ctx context.Context) (Status, error) {
	before, err := c.Status(ctx)
	if err != nil {
		return Status{}, err
	}
	if err := c.orderUpgrade(ctx); err != nil {
		return Status{}, err
	}
	for {
		select {
		case <-ctx.Done():
			return Status{}, fmt.Errorf("the daemon has not been replaced: %w", ctx.Err())
		case <-time.After(upgradePoll):
		}
		now, err := c.Status(ctx)
		switch {
		case err != nil && !errors.Is(err, ErrNotNow):
			c.Close() // the connection ended with the process that had accepted it; the next one waits for the next process
			if errors.Is(err, ErrUnreachable) {
				return Status{}, fmt.Errorf("the daemon has ended: %w", err)
			}
		case now.Handovers == before.Handovers:
		case now.HandoverFailure != "":
			return now, fmt.Errorf("%w: the daemon goes on as it was: %s", ErrNotNow, now.HandoverFailure)
		default:
			return now, nil
		}
	}
}

func (c *Client) orderUpgrade(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://millrace/v1/upgrade", nil)
	if err != nil {
		return err
	}
	resp, err := c.acts.Do(req) // the daemon tries the program on disk before it answers
	if err != nil {
		return c.explain(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusAccepted:
		return nil
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return errors.New("the daemon is older than this command and cannot hand over; restart it")
	case http.StatusConflict:
		return errors.New(errorText(resp))
	default:
		return refusal(resp)
	}
}
