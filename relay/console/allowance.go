package console

// Allowance is how much may be sent, and how much was. Numbers count recipients. Status has none without an [allowance] table.
type Allowance struct {
	Installation string `json:"installation"` // its id, by which a licence may name it

	// Usage is the limits in force: those of the installation first, then those of tenants, the fullest first, at most MaxUsage. Limits
	// counts all of them.
	Usage  []Usage `json:"usage"`
	Limits int     `json:"limits"`

	Licence *Licence       `json:"licence,omitempty"` // that is installed
	Server  *LicenceServer `json:"server,omitempty"`  // the licence server

	Error string `json:"error,omitempty"` // why the count could not be made durable; the limits of before hold on
}

// MaxUsage bounds Allowance.Usage.
const MaxUsage = 100

// Usage is one limit.
type Usage struct {
	Tenant string `json:"tenant,omitempty"` // "": the installation
	Span   string `json:"span"`             // "day", "month", "total", "licence", "evaluation" or "slice"
	By     string `json:"by"`               // who sets it: "allowance" or a licence
	Used   uint64 `json:"used"`             // sent
	Left   uint64 `json:"left"`             // taken and not settled
	Limit  uint64 `json:"limit"`
	Resets int64  `json:"resets,omitempty"` // Unix seconds; 0: never
	Full   string `json:"full,omitempty"`   // why the last message of this tenant, or of all, was left with the MTA; "": it was not
}

// Licence is a licence that is installed.
type Licence struct {
	Licensee string `json:"licensee"`
	Serial   string `json:"serial"`
	Expires  int64  `json:"expires"` // Unix seconds
	State    string `json:"state"`   // "valid", "expired, in grace", "expired", "not yet valid" or "foreign"
	Until    int64  `json:"until"`   // Unix seconds: the end of its grace
}

// LicenceServer is the licence server that hands out slices.
type LicenceServer struct {
	URL     string `json:"url"`
	Slice   string `json:"slice,omitempty"`   // serial of the slice that is held; "": none is
	Expires int64  `json:"expires,omitempty"` // Unix seconds
	Answer  int64  `json:"answer,omitempty"`  // Unix seconds of its last answer; 0: none since the start
	Error   string `json:"error,omitempty"`   // why it did not answer when last asked
}
