package smtpd

// Role is what a listener is for. It decides what becomes of mail for which there is no room, and of mail that is not bulk.
type Role uint8

// Roles.
const (
	// Filter serves an MTA that keeps its copy until we answer: an after-queue content filter, a transport. Mail without room is
	// answered with 451 4.3.2, and the MTA tries again.
	Filter Role = iota
	// Proxy stands between the MTA's listener and its queue (smtpd_proxy_filter). Behind it waits the client, who may never try again,
	// so mail without room goes on to the MTA.
	Proxy
	// Submission serves applications. Mail without room goes on to the MTA. Without an MTA all mail is taken, and refused with 451
	// when there is no room.
	Submission

	numRoles
)

// String names the role as the configuration does.
func (r Role) String() string { return [numRoles]string{"filter", "proxy", "submission"}[r] }
