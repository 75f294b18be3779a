package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
)

// siteJSON is the form that scripts read: a key is never renamed, and times are Unix seconds.
const siteJSON = `{"site":"mx0.example:25","source":"news-1","provider":"gmail","rule":"goo","hosts":["mx.example"],` +
	`"window":10,"window_by":"learned","ceiling":11,"channels":3,"slow":1,"rate":0.5,"rate_by":"rule goo","goodput":4.25,"latency_ms":120,"open":4,"idle":1,` +
	`"waiting":12,"nodes":1200,"at_least":true,"oldest":1700000000,` +
	`"flows":[{"tenant":"shop","name":"autumn","sender":"n.example","urgent":true,"queues":2,"nodes":900}],"more_flows":3,` +
	`"reason":"451 <later>","closed_until":1700000600,` +
	`"held":{"kind":"site","who":"mx.example:25","reason":"451 <later>","next":1700000600},` +
	`"learned_since":1699990000,"last_throttle":"421 4.7.0 slow down","last_throttle_at":1699999000,` +
	`"messages_per_connection":50,"recipients_per_message":100,"domains_per_transaction":1,"tls":"may",` +
	`"warming":{"provider":"gmail","plan":200,"spent":120},"suspended":[{"sender":"bad.example","reason":"554 policy","until":1700001000}],` +
	`"in_clear":[{"site":"mx.example:25","host":"mx.example[192.0.2.1]:25","connections":3,"reason":"454 no","until":1700002000}]}` + "\n"

func TestSiteJSON(t *testing.T) {
	v := reflect.ValueOf(fakeSite(0))
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("fakeSite has no %s, so nobody would see its key change", v.Type().Field(i).Name)
		}
	}
	if got := fetch(t, serve(t, &fakeSource{n: 1}), "/v1/sites"); got != siteJSON {
		t.Errorf("got  %s\nwant %s", got, siteJSON)
	}
}

func TestSites(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{n: 2*MaxSites + 5}))
	for most, want := range map[int]int{0: 2*MaxSites + 5, 1: 1, MaxSites: MaxSites} {
		got := collect(t, c.Sites(t.Context(), most))
		if len(got) != want || !reflect.DeepEqual(got[want-1], fakeSite(want-1)) {
			t.Errorf("%d at most: %d sites, the last is %+v", most, len(got), got[len(got)-1])
		}
	}
	for name, want := range map[string]int{"mx0.example:25": 2, "a,b:25/x ?": 2} {
		if got := collect(t, c.SitesNamed(t.Context(), name)); len(got) != want {
			t.Errorf("%s: %d sites, want %d", name, len(got), want)
		}
	}
	for _, err := range c.SitesNamed(t.Context(), "none") {
		if !errors.Is(err, ErrNoSite) {
			t.Errorf("no such site: %v", err)
		}
	}
}

// TestSitesUnasked: without a number the list is bounded.
func TestSitesUnasked(t *testing.T) {
	path := serve(t, &fakeSource{n: 2 * MaxSites})
	if n := strings.Count(fetch(t, path, "/v1/sites"), "\n"); n != MaxSites {
		t.Errorf("%d sites, want %d", n, MaxSites)
	}
	for _, most := range []string{"-1", "x", "1e3", fmt.Sprint(maxSorted + 1)} {
		_, err := dial(t, path).get(context.Background(), "/v1/sites?most="+most)
		if err == nil || !strings.Contains(err.Error(), http.StatusText(http.StatusBadRequest)) || !strings.Contains(err.Error(), "most: ") {
			t.Errorf("most=%s: %v", most, err)
		}
	}
}

// TestSitesOfAnOlderDaemon: a daemon without the list is not said to have no sites.
func TestSitesOfAnOlderDaemon(t *testing.T) {
	c := dial(t, answer(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n"))
	for _, err := range c.Sites(t.Context(), MaxSites) {
		if !errors.Is(err, errOldDaemon) {
			t.Errorf("%v", err)
		}
	}
}
