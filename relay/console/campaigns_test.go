package console

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

// tallyJSON is the form of counters that scripts read: a key is never renamed, and times are Unix seconds. contrib/statistics.md has each key.
const tallyJSON = `"messages":1,"recipients":2,"sent":3,"deferred":4,"bounced":5,"bounced_by":{"auth":1,"bad-mailbox":4},"expired":6,"handed_back":7,` +
	`"suppressed":8,"deleted":9,"left":10,"first":1700000000,"last_taken":1700000600,"last_sent":1700000700`

const (
	campaignJSON = `{"tenant":"shop","name":"list:<autumn>-0","sender":"n.example","rest":true,` + tallyJSON +
		`,"last_message":"CQ03L","rate":12.5,"eta":600,"faults":["no one-click"]}` + "\n"
	statisticJSON = `{"time":1700000040,"span":60,"messages":1,"recipients":2,"sent":3,"deferred":4,"bounced":5,"expired":6,"handed_back":7,` +
		`"deleted":8,"peak":9,"left":10,"most_left":11,"queues":12}` + "\n"
)

// full fails when a field of v is zero: nobody would see its key change.
func full(t *testing.T, v reflect.Value) {
	t.Helper()
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("there is no %s", v.Type().Field(i).Name)
		}
	}
}

func TestCampaignJSON(t *testing.T) {
	full(t, reflect.ValueOf(fakeCampaign(0)))
	full(t, reflect.ValueOf(fakeCampaign(0).Tallied))
	path := serve(t, &fakeSource{n: 1})
	for _, question := range []string{"/v1/campaigns", "/v1/campaigns?tenant=shop&most=1", "/v1/campaigns/list:%3Cautumn%3E-0"} {
		if got := fetch(t, path, question); got != campaignJSON {
			t.Errorf("%s\n got %s\nwant %s", question, got, campaignJSON)
		}
	}
}

func TestCampaigns(t *testing.T) {
	c := dial(t, serve(t, &fakeSource{n: MaxCampaigns + 5}))
	for most, want := range map[int]int{1: 1, MaxCampaigns: MaxCampaigns, 2 * MaxCampaigns: MaxCampaigns + 5} {
		got := collect(t, c.Campaigns(t.Context(), "", most))
		if len(got) != want || !reflect.DeepEqual(got[want-1], fakeCampaign(want-1)) {
			t.Errorf("%d at most: %d campaigns", most, len(got))
		}
	}
	if got := collect(t, c.Campaigns(t.Context(), "other", 10)); len(got) != 0 {
		t.Errorf("another tenant has %d campaigns", len(got))
	}
	if got := collect(t, c.CampaignsNamed(t.Context(), "shop", "a/b ?&x")); len(got) != 2 {
		t.Errorf("%d campaigns of one name", len(got))
	}
	for _, err := range c.CampaignsNamed(t.Context(), "", "none") {
		if !errors.Is(err, ErrNoCampaign) {
			t.Errorf("no such campaign: %v", err)
		}
	}
}

func TestStatisticJSON(t *testing.T) {
	full(t, reflect.ValueOf(fakeStatistic(0)))
	if got := fetch(t, serve(t, &fakeSource{n: 1}), "/v1/statistics"); got != statisticJSON {
		t.Errorf("\n got %s\nwant %s", got, statisticJSON)
	}
}

func TestStatistics(t *testing.T) {
	src := &fakeSource{n: 2 * MostMinutes}
	c := dial(t, serve(t, src))
	for _, of := range []StatisticsOf{{Last: 60}, {Last: MostMinutes, Site: "mx.example"}, {Hours: true, Last: MostHours, Campaign: "a&b", Tenant: "shop"}} {
		if got := collect(t, c.Statistics(t.Context(), of)); len(got) != of.Last || src.asked != of {
			t.Errorf("asked for %+v, which came as %+v, and had %d", of, src.asked, len(got))
		}
	}
	for query, want := range map[string]string{
		"?span=days": "span: ", "?last=0": "last: ", "?last=1441": "last: ", "?span=hours&last=745": "last: ", "?last=x": "last: ",
		"?site=a&tenant=b": "site: ", "?site=none": "no statistics are kept",
	} {
		if _, err := c.get(t.Context(), "/v1/statistics"+query); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", query, err)
		}
	}
}

// TestCampaignsOfAnOlderDaemon: a daemon without the lists is not said to have no campaigns.
func TestCampaignsOfAnOlderDaemon(t *testing.T) {
	c := dial(t, answer(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n"))
	for _, err := range c.Campaigns(t.Context(), "", 1) {
		if !errors.Is(err, errNoCampaigns) {
			t.Errorf("%v", err)
		}
	}
	c = dial(t, answer(t, "HTTP/1.1 404 Not Found\r\nContent-Length: 19\r\n\r\n404 page not found\n"))
	for _, err := range c.Statistics(t.Context(), StatisticsOf{Last: 1}) {
		if !errors.Is(err, errNoStatistics) {
			t.Errorf("%v", err)
		}
	}
}

// TestEveryKeyIsDocumented in contrib/statistics.md.
func TestEveryKeyIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../../contrib/statistics.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, of := range []reflect.Type{reflect.TypeFor[Campaign](), reflect.TypeFor[Tallied](), reflect.TypeFor[Statistic]()} {
		for i := range of.NumField() {
			key, _, _ := strings.Cut(of.Field(i).Tag.Get("json"), ",")
			if key != "" && !strings.Contains(string(text), "`"+key+"`") {
				t.Errorf("%s of %s is not there", key, of)
			}
		}
	}
}
