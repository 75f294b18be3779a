package console

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// Reloaded is what a reload of the configuration file brought.
type Reloaded struct {
	File     string    `json:"file"`               // the file that was read, as the daemon was given it
	Applied  bool      `json:"applied"`            // false: the file has mistakes, and nothing has changed
	Changed  []Change  `json:"changed,omitempty"`  // keys that have their new value now
	Restart  []Change  `json:"restart,omitempty"`  // keys that keep their old value until a restart
	Warnings []Mistake `json:"warnings,omitempty"` // what is allowed and seldom meant
	Errors   []Mistake `json:"errors,omitempty"`   // why the file was not applied
}

// Change is one key whose value in the file is another than the one in force.
type Change struct {
	Key string `json:"key"` // as "pool.idle"
	Old string `json:"old"` // as a file has it; "" if the key did not exist
	New string `json:"new"`
	Why string `json:"why,omitempty"` // why only a restart changes it
}

// Mistake is a place of the file and what is wrong there, with the repair.
type Mistake struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`   // from 1; 0: about no line
	Column int    `json:"column,omitempty"` // from 1; 0: about the whole line
	Key    string `json:"key,omitempty"`
	Text   string `json:"text"`
}

// serveReload has the file read again for whoever may open the socket, as a signal does for root; what the file says only its owner
// decides. A file with mistakes is 422, with the same object.
func (s *Server) serveReload(w http.ResponseWriter, _ *http.Request) {
	r, err := s.src.ReloadFile()
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	if !r.Applied {
		w.WriteHeader(http.StatusUnprocessableEntity)
	}
	reply(w, r)
}

// Reload has the daemon read its configuration file again. A file with mistakes is no error here: see Reloaded.Applied.
func (c *Client) Reload(ctx context.Context) (Reloaded, error) {
	var r Reloaded
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://millrace/v1/reload", nil)
	if err != nil {
		return r, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return r, c.explain(err)
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK, http.StatusUnprocessableEntity:
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		return r, fmt.Errorf("the daemon is older than this command and cannot be told to reload here; send it a SIGHUP")
	default:
		return r, refusal(resp)
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxStatus)).Decode(&r); err != nil {
		return r, fmt.Errorf("read the daemon's reply: %w", err)
	}
	return r, nil
}
