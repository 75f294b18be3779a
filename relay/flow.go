package relay

// FlowName is what tells one flow from another: the mail of one campaign, or of one sender, of one tenant. A door fills it in; the
// zero FlowName is mail of nobody in particular.
type FlowName struct {
	Tenant string // a [[tenant]]'s name; "" is everybody whom no tenant names
	Name   string // the campaign, list or sender, as the mail itself names it
	Sender string // domain of the envelope sender, lower case
	Urgent bool   // its bulk rule has lane = "urgent"
}

// Flow is one FlowName in use: its mail takes turns with that of other flows. There is one Flow for each name, from the first message
// of that name to the last. A nil Flow is mail of nobody in particular.
type Flow struct {
	name FlowName
}

// Name is what the flow is called by; the zero FlowName for a nil Flow.
func (f *Flow) Name() FlowName {
	if f == nil {
		return FlowName{}
	}
	return f.name
}

// TenantConfig is what the heart knows of a [[tenant]] table.
type TenantConfig struct {
	Name        string   `toml:"name"`
	Weight      int      `toml:"weight"`      // its part of the turns, beside the weights of others; 0: 1
	Connections int      `toml:"connections"` // transactions under way at the same time, all sites together; 0: as many as there may be
	Rate        float64  `toml:"rate"`        // messages a second, all sites together; 0: as fast as may be
	Sources     []string `toml:"sources"`     // names of the [[source]] tables that its mail leaves by; empty: any
}
