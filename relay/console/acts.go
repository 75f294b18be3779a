package console

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/relay"
)

// Acts is the lever as the console pulls it: a relay.Lever. It is no part of Source: what only looks cannot do anything by mistake.
type Acts interface {
	// Do does what an admin orders. The error is a *relay.ActError if the order cannot be meant. What Do has reported holds over
	// a restart. Do ends soon after ctx.
	Do(ctx context.Context, a relay.Act) (relay.ActReport, error)
	// Pauses returns the pauses and holds in force, the oldest first.
	Pauses() []relay.Pause
	// Shape counts what waits by age, and by site, domain or sender: so many rows, those with the most first, and one for all others.
	Shape(by string, most int) ([]relay.ShapeRow, error)
	// Draining is the drain in force.
	Draining() (relay.Act, bool)
	// DrainReport is how far it is.
	DrainReport() relay.ActReport
}

// A Refusal is why an order was not carried out, with the repair, in the words of the daemon. Nothing was done.
type Refusal string

// Error implements error.
func (r Refusal) Error() string { return string(r) }

// What a shape is of.
const (
	BySite   = "site"
	ByDomain = "domain"
	BySender = "sender" // the sender's domain
)

// MaxShape is how many rows a shape has, unless another number is asked for. One row more has all others.
const MaxShape = 100

// maxShaped is how many rows can be asked for.
const maxShaped = 100 * MaxShape

// readAct reads one act, strictly: a key that is not known, or has an empty value, may have been meant to narrow a delete. Who
// ordered it is what the kernel says and never what the body says.
func readAct(body io.Reader) (relay.Act, error) {
	var a relay.Act
	var text bytes.Buffer
	dec := json.NewDecoder(io.TeeReader(body, &text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return relay.Act{}, &relay.ActError{Field: "act", Text: "is one JSON object: " + strings.TrimPrefix(err.Error(), "json: ")}
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return relay.Act{}, &relay.ActError{Field: "act", Text: "is one JSON object, and nothing after it"}
	}
	a.Who = ""
	return a, wholeSelector(text.Bytes())
}

// wholeSelector refuses a selector with a key that selects nothing: a script whose variable was empty would be heard as one that
// means all mail.
func wholeSelector(text []byte) error {
	var act struct {
		Selector map[string]any `json:"selector"`
	}
	if err := json.Unmarshal(text, &act); err != nil {
		return &relay.ActError{Field: "selector", Text: strings.TrimPrefix(err.Error(), "json: ")}
	}
	for _, key := range slices.Sorted(maps.Keys(act.Selector)) {
		if v := act.Selector[key]; v == "" || v == 0.0 || v == nil {
			return &relay.ActError{Field: key, Text: "is empty; give a value, or leave the key out"}
		}
	}
	return nil
}

// serveAct does what an admin orders. A reader that has left does not stop an act: half a hold would be worse than a whole one.
func (s *Server) serveAct(w http.ResponseWriter, r *http.Request) {
	a, err := readAct(r.Body)
	if err != nil {
		refuse(w, err)
		return
	}
	if s.recovering(w) {
		return
	}
	select {
	case s.acting <- struct{}{}:
		defer func() { <-s.acting }()
	default:
		refuse(w, errors.New("too many orders at once; try again"))
		return
	}
	a.Who = whoAsks(r)
	report, err := s.acts.Do(s.life, a)
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, report)
}

// refuse answers with the text of err. It gives the answer a time of its own: the act may have used up that of the request.
func refuse(w http.ResponseWriter, err error) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // without one the answer is only lost
	status := http.StatusServiceUnavailable
	switch {
	case errors.As(err, new(*relay.ActError)):
		status = http.StatusBadRequest
	case errors.Is(err, relay.ErrManyActs):
		status = http.StatusConflict // no better later, unless somebody ends one
	}
	http.Error(w, err.Error(), status)
}

// recovering answers for a daemon that has not read all messages yet, and reports whether it did. An act would miss those that
// are not read, and a drain would seem to be over.
func (s *Server) recovering(w http.ResponseWriter) bool {
	p := s.src.Status().Journal.Recovering
	if p != nil {
		http.Error(w, p.String(), http.StatusServiceUnavailable)
	}
	return p != nil
}

func (s *Server) servePauses(w http.ResponseWriter, _ *http.Request) {
	writeAll(w, s.acts.Pauses())
}

func (s *Server) serveShape(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	most := MaxShape
	if text := q.Get("most"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxShaped {
			refuse(w, &relay.ActError{Field: "most", Text: fmt.Sprintf("%q is not between 1 and %d", text, maxShaped)})
			return
		}
		most = n
	}
	rows, err := s.acts.Shape(cmp.Or(q.Get("by"), BySite), most)
	if err != nil {
		refuse(w, err)
		return
	}
	writeAll(w, rows)
}

// serveDrain answers 204 when no drain is in force: zeros would look like one that is over.
func (s *Server) serveDrain(w http.ResponseWriter, _ *http.Request) {
	if s.recovering(w) {
		return
	}
	if _, on := s.acts.Draining(); !on {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, s.acts.DrainReport())
}
