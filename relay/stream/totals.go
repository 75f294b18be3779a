package stream

// Totals count as the journal does, see snapshot.Totals; differences may be negative.
type Totals struct {
	Messages   int64 `json:"messages"`
	Recipients int64 `json:"recipients"`
	Sent       int64 `json:"sent"`
	HandedBack int64 `json:"handed_back"`
	Reported   int64 `json:"reported"`
	Suppressed int64 `json:"suppressed"`
	Removed    int64 `json:"removed"`
	Deferred   int64 `json:"deferred"`
}

// add counts one record. n is the number of recipients of a Reception, and 1 for a Deferral by a receiver.
func (t *Totals) add(k Kind, n uint32) {
	switch k {
	case Reception:
		t.Messages++
		t.Recipients += int64(n)
	case Delivery:
		t.Sent++
	case HandedBack:
		t.HandedBack++
	case Reported:
		t.Reported++
	case Suppressed:
		t.Suppressed++
	case Deleted:
		t.Removed++
	case Deferral:
		t.Deferred += int64(n)
	}
}

// sum adds other to t.
func (t *Totals) sum(other Totals) {
	t.Messages += other.Messages
	t.Recipients += other.Recipients
	t.Sent += other.Sent
	t.HandedBack += other.HandedBack
	t.Reported += other.Reported
	t.Suppressed += other.Suppressed
	t.Removed += other.Removed
	t.Deferred += other.Deferred
}

// minus is t without other.
func (t Totals) minus(other Totals) Totals {
	d := Totals{
		-other.Messages, -other.Recipients, -other.Sent, -other.HandedBack, -other.Reported, -other.Suppressed, -other.Removed, -other.Deferred,
	}
	d.sum(t)
	return d
}
