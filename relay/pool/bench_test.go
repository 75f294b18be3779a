package pool

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/test/sink"
)

// BenchmarkCampaign is one newsletter of 20 KB from Accept to the sink's ledger, ten sites, journal and doors left out.
func BenchmarkCampaign(b *testing.B) {
	w := newWorld(b, quick(), time.Hour)
	for i := range 10 {
		w.listen(fmt.Sprintf("d%d", i), sink.Character{})
	}
	body := bytes.Repeat([]byte("All the news that fits on a line of seventy characters, and no more.\r\n"), 290)
	b.ReportAllocs()
	b.SetBytes(int64(len(body)))
	for i := range b.N {
		m := &relay.Message{ID: relay.ID(i + 1), Content: relay.NewContent(relay.Letter{Header: fmt.Appendf(nil, "X-Ledger: %d\r\n", i), Body: body}), Slip: &relay.Slip{Arrived: time.Now(), Taken: time.Now()}}
		m.Slip.From = "list@n.example"
		m.Slip.Rcpts = []relay.Rcpt{{Addr: fmt.Sprintf("u%d@d%d", i, i%10)}}
		if err := w.queues.Accept(m); err != nil {
			b.Fatal(err)
		}
	}
	w.drained()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}
