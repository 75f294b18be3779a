package relay

import (
	"fmt"
	"strings"
	"testing"
)

// TestSharing: flows are listed by the size of their mail, and what has no row of its own is one.
func TestSharing(t *testing.T) {
	x := newHeart(t, DefaultRetryConfig(), HandbackConfig{})
	for i := range 6 {
		m := testMessage("a@x")
		m.Slip.Flow = FlowName{Name: fmt.Sprint("list-", i/2), Sender: "n.example"}
		m.Content = NewContent(Letter{Header: fmt.Appendf(nil, "X-N: %d\r\n", i), Body: []byte(strings.Repeat(fmt.Sprint("news ", i/2, "\r\n"), 100*(i/2+1)))})
		if err := x.Accept(m); err != nil {
			t.Fatal(err)
		}
	}
	rows := x.Sharing(2)
	if len(rows) != 3 || rows[0].Flow != "list-2" || rows[1].Flow != "list-1" || rows[2].Flow != "" {
		t.Fatalf("%+v", rows)
	}
	for _, r := range rows {
		if r.Messages != 2 || r.Wrappers != 1 || r.Whole < 2*800 || r.Shared > r.Whole/2+20 || r.Personal > 60 {
			t.Errorf("%+v", r)
		}
	}
}
