package console

import (
	"errors"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// TestReload: the answer arrives as it was given, also when the file has mistakes, and a daemon that cannot reload now is asked
// again later.
func TestReload(t *testing.T) {
	for _, test := range []struct {
		name string
		is   Reloaded
		err  error
		want error
	}{
		{"applied", Reloaded{
			File: "m.toml", Applied: true, Changed: []Change{{Key: "pool.idle", Old: "1", New: "2"}}, Restart: []Change{{Key: "ack", Why: "it is open"}},
			Warnings: []Mistake{{File: "m.toml", Line: 3, Key: "retry.lifetime", Text: "is short"}},
		}, nil, nil},
		{"mistakes", Reloaded{File: "m.toml", Errors: []Mistake{{Line: 3, Column: 4, Text: "no such key"}}}, nil, nil},
		{"stopping", Reloaded{}, errors.New("the daemon is stopping"), ErrNotNow},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dial(t, serve(t, &fakeSource{reloaded: test.is, reloadErr: test.err}))
			got, err := c.Reload(t.Context())
			if !errors.Is(err, test.want) || !reflect.DeepEqual(got, test.is) {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
}

// TestReloadNeedsAPost: whoever only looks changes nothing.
func TestReloadNeedsAPost(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{reloadErr: errors.New("asked")}))
	_, err := c.get(t.Context(), "/v1/reload")
	if err == nil || strings.Contains(err.Error(), "asked") || !strings.Contains(err.Error(), http.StatusText(http.StatusMethodNotAllowed)) {
		t.Errorf("GET: %v", err)
	}
}
