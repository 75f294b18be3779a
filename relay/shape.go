package relay

// ShapeAges are the ages, in minutes, up to which the columns of a ShapeRow but the last reach: those of Postfix's qshape.
var ShapeAges = [...]int{5, 10, 20, 40, 80, 160, 320, 640, 1280}

// ShapeRow counts recipients that wait by their age.
type ShapeRow struct {
	Name  string                  `json:"name"` // of the domain, site or sender's domain; "" for all that have no row of their own
	Total int                     `json:"total"`
	Ages  [len(ShapeAges) + 1]int `json:"ages"` // by ShapeAges; the last: older
}

// Shape counts the recipients that wait by age and by "domain", "site" or "sender" (the sender's domain): a row for each of the most
// names that have the most, the most first, and one for all others together. Another word is an *ActError.
func (l *Lever) Shape(by string, most int) ([]ShapeRow, error) { return nil, nil }
