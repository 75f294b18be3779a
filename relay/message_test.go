package relay

import (
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// toolIDs are the queue ids of the tools for Postfix's log: logwatch for short and for long ids, mailgraph for long ones.
var toolIDs = []*regexp.Regexp{
	regexp.MustCompile(`^[A-Z\d]+$`),
	regexp.MustCompile(`^[bcdfghjklmnpqrstvwxyzBCDFGHJKLMNPQRSTVWXYZ\d]+$`),
	regexp.MustCompile(`^[\dB-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]+$`),
}

func TestIDs(t *testing.T) {
	for id, want := range map[ID]string{0: "0", 30: "Z", 31: "10", 29790: "ZZZ", 29791: "1000", 1 << 40: "18YW9TX81", math.MaxUint64: "RF075LC45N86H"} {
		got := id.String()
		if got != want {
			t.Errorf("%d: %s, want %s", uint64(id), got, want)
		}
		for _, form := range toolIDs {
			if !form.MatchString(got) {
				t.Errorf("%s is no queue id for a tool that looks for %s", got, form)
			}
		}
	}
}

// Whatever was ever printed finds the message again: our own form in either case, and the form of releases before.
func TestParseIDs(t *testing.T) {
	for s, want := range map[string][]ID{
		"ZZZ": {29790}, "zzz": {29790, 46655}, "1000": {29791, 46656}, "e13wu1p5": {1099511627801}, "E13WU1P5": nil,
		"": nil, "0": {0}, "007": {7}, "4bXyA1": nil, "12-3": nil, "ü": nil, strings.Repeat("Z", 13): nil, strings.Repeat("Z", 100): nil,
	} {
		if got := parseIDs(s); !slices.Equal(got, want) {
			t.Errorf("%q: %d, want %d", s, got, want)
		}
	}
}

func FuzzParseIDs(f *testing.F) {
	f.Add(uint64(0), "")
	f.Add(uint64(math.MaxUint64), "zz")
	f.Fuzz(func(t *testing.T, n uint64, s string) {
		id := ID(n)
		for _, form := range []string{id.String(), strings.ToLower(id.String()), strconv.FormatUint(n, 36)} {
			if !slices.Contains(parseIDs(form), id) {
				t.Errorf("%s does not find %d", form, n)
			}
		}
		for _, id := range parseIDs(s) {
			if id.String() != strings.ToUpper(s) && strings.TrimLeft(strconv.FormatUint(uint64(id), 36), "0") != strings.TrimLeft(s, "+0") {
				t.Errorf("%q finds %d, which was never written so", s, id)
			}
		}
	})
}

// A short queue id of Postfix comes back as soon as its message has left Postfix, which is at once when we take it. All
// messages of a name are found, and the number of each finds that one alone.
func TestMessagesNamed(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	for i, queueID := range []string{"5E1F22F", "5E1F22F", "5E1F230", ""} {
		m := testMessage("a@x")
		m.ID, m.Slip.QueueID, m.Slip.Arrived = ID(46650-i), queueID, logTime
		if err := x.Accept(m); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string][]ID{
		"5E1F22F": {46649, 46650}, "5E1F230": {46648}, "5e1f230": nil, "": nil, "none": nil,
		ID(46650).String(): {46650}, strings.ToLower(ID(46647).String()): {46647}, strconv.FormatUint(46648, 36): {46648},
	} {
		var got []ID
		for _, l := range x.h.MessagesNamed(name) {
			id, _ := ParseID(l.ID)
			got = append(got, id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%q: %d, want %d", name, got, want)
		}
	}
}
