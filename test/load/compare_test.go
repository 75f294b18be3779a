package load

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"

	"github.com/millrace/millrace/test/sink"
)

func TestCompare(t *testing.T) {
	core := sha256.Sum256([]byte("m"))
	records := []Record{
		{ID: "acked", From: "a@s", Rcpts: []string{"x@d", "y@d"}, Core: core, Acked: true},
		{ID: "unsure", From: "a@s", Rcpts: []string{"x@d"}, Core: core, Unsure: 1},
		{ID: "both", From: "a@s", Rcpts: []string{"x@d"}, Core: core, Acked: true, Unsure: 1},
		{ID: "refused", From: "a@s", Rcpts: []string{"x@d"}, Core: core, Reply: "550 no"},
		{}, // never begun
	}
	d := func(id, rcpt string) sink.Delivery { return sink.Delivery{ID: id, Rcpt: rcpt, From: "a@s", Core: core} }
	fine := []sink.Delivery{d("acked", "x@d"), d("acked", "y@d"), d("both", "x@d")}
	other := d("acked", "x@d")
	other.Core[0]++
	forged := d("acked", "x@d")
	forged.From = "b@s"
	for _, c := range []struct {
		name       string
		deliveries []sink.Delivery
		want       string // words that must stand in the error, "" for no error
	}{
		{"all is well", fine, ""},
		{"unsure arrived", append(fine[:3:3], d("unsure", "x@d")), ""},
		{"known double", append(fine[:3:3], d("both", "x@d")), ""},
		{"one recipient lost", fine[1:], "1 lost [acked to x@d"},
		{"everything lost", nil, "3 lost"},
		{"doubled", append(fine[:3:3], d("acked", "y@d")), "1 duplicated [acked to y@d: 2 copies, 1 allowed]"},
		{"unsure doubled", append(fine[:3:3], d("unsure", "x@d"), d("unsure", "x@d")), "1 duplicated [unsure"},
		{"altered", append(fine[1:3:3], other), "1 altered [acked to x@d: content]"},
		{"other sender", append(fine[1:3:3], forged), "1 altered [acked to x@d: sender <a@s> became <b@s>]"},
		{"never sent", append(fine[:3:3], d("ghost", "x@d")), "1 phantom [ghost"},
		{"no id", append(fine[:3:3], d("", "x@d")), "1 phantom"},
		{"refused arrived", append(fine[:3:3], d("refused", "x@d")), "1 phantom [refused to x@d: was refused: 550 no]"},
		{"wrong recipient", append(fine[:3:3], d("acked", "z@d")), "1 misdelivered [acked to z@d: was for x@d, y@d]"},
		{"right person, wrong case", append(fine[1:3:3], d("acked", "X@d")), "1 lost"},
	} {
		got := Compare(records, slices.Values(c.deliveries))
		if got.Arrived != len(c.deliveries) {
			t.Errorf("%s: looked at %d", c.name, got.Arrived)
		}
		err := got.Err()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
