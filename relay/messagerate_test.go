package relay

import (
	"math"
	"testing"
)

func TestMessageRate(t *testing.T) {
	for _, test := range []struct {
		text string
		want float64 // a second; 0: refused
		back string
	}{
		{"50/s", 50, "50/s"},
		{"600/m", 10, "10/s"},
		{"5000/h", 5000.0 / 3600, "5000/h"},
		{"100000/d", 100000.0 / 86400, "100000/d"},
		{"1/m", 1.0 / 60, "1/m"},
		{"0.5/s", 0.5, "30/m"},
		{"0.001/d", 0.001 / 86400, "0.001/d"},
		{"1000000000/s", 1e9, "1000000000/s"},
		{"", 0, ""}, {"50", 0, ""}, {"/s", 0, ""}, {"50/", 0, ""}, {"50/sec", 0, ""}, {"50/S", 0, ""}, {"-1/s", 0, ""}, {"0/s", 0, ""}, {"1e3/s", 0, ""},
		{"inf/s", 0, ""}, {"NaN/s", 0, ""}, {"0x10/s", 0, ""}, {" 5/s", 0, ""}, {"5 /s", 0, ""}, {"1_0/s", 0, ""}, {"1.2.3/s", 0, ""}, {"./s", 0, ""}, {"50/s/s", 0, ""},
	} {
		var r MessageRate
		err := r.UnmarshalText([]byte(test.text))
		if float64(r) != test.want || (err == nil) != (test.want > 0) {
			t.Errorf("%q: %v, %v", test.text, float64(r), err)
		}
		if err == nil && r.String() != test.back {
			t.Errorf("%q is written %q", test.text, r)
		}
	}
}

// FuzzMessageRate: a rate that is read is a positive number, and what is written for it is nearly the same rate.
func FuzzMessageRate(f *testing.F) {
	for _, s := range []string{"50/s", "600/m", "0.5/h", "99999999999999999999/d", ".0000001/d", "1/w"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var r, again MessageRate
		if r.UnmarshalText([]byte(text)) != nil {
			return
		}
		if r <= 0 || math.IsNaN(float64(r)) || math.IsInf(float64(r), 0) {
			t.Fatalf("%q is %v", text, float64(r))
		}
		if err := again.UnmarshalText([]byte(r.String())); err == nil && math.Abs(float64(again-r)) > 0.01*float64(r) {
			t.Errorf("%q is written %q, which is %v and not %v", text, r, float64(again), float64(r))
		}
	})
}
