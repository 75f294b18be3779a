package relay

// FlowName is what tells one flow from another: the mail of one campaign, or of one sender, of one tenant. A door fills it in; the
// zero FlowName is mail of nobody in particular.
type FlowName struct {
	Tenant string // a [[tenant]]'s name; "" is everybody whom no tenant names
	Name   string // the campaign, list or sender, as the mail itself names it
	Sender string // domain of the envelope sender, lower case
	Urgent bool   // its bulk rule has lane = "urgent"
}
