package pool

// provider is one line of the table of providers: a mailbox provider that receives for very many domains, by the names of its MX
// hosts, and what is known of the limits it sets to one source address.
//
// A figure stands here only if the provider publishes it, or if an engine for bulk mail ships it and names the provider as its
// source; each has its origin beside it, as of November 2025 where no other date is given. Where nothing is known there is none:
// then [pool] holds, and Pace finds the rest. Figures of the kind "more than this is abuse" (Microsoft: 500 connections from one
// sender, sendersupport.olc.protection.outlook.com/pm/policies) are no pace, and left out.
type provider struct {
	name string
	mx   []string // suffixes of its hosts' names, none of which has another provider's as its end

	connections           int
	messagesPerConnection int
	recipients            int
	domains               int
	noBDAT                bool // BDAT is off, unless a [[site]] says otherwise
}

// providers is the table. Its names stand in configurations and metrics: they do not change.
var providers = []provider{
	{
		// Gmail and Google Workspace share their addresses. No limit of connections is published.
		name: "gmail", mx: []string{"google.com", "googlemail.com"},
		messagesPerConnection: 50,   // shipped by KumoMTA (shaping.toml, provider google)
		noBDAT:                true, // larger messages were reported to time out over BDAT, by another server's users in September 2026
		domains:               1,    // Google, "Gmail SMTP errors and codes": 451 4.3.0 "Multiple destination domains per transaction is unsupported"
	},
	{
		// outlook.com, hotmail, live, msn.
		name: "microsoft", mx: []string{"olc.protection.outlook.com"},
		messagesPerConnection: 50,   // shipped by KumoMTA (shaping.toml, provider outlook)
		noBDAT:                true, // as microsoft365
	},
	{
		// Microsoft 365; mx.microsoft has the hosts with DNSSEC, the last two are China and the US government.
		name: "microsoft365", mx: []string{"mail.protection.outlook.com", "mx.microsoft", "mail.protection.partner.outlook.cn", "mail.protection.office365.us"},
		messagesPerConnection: 50,   // shipped by KumoMTA (shaping.toml, providers office365 and office365-dane)
		noBDAT:                true, // a library for mail had to give BDAT up there in 2019: the server waited for more
	},
	{
		// Yahoo, AOL, and the access providers whose mailboxes Yahoo has: AT&T, Verizon, Sky, by and by Comcast.
		name: "yahoo", mx: []string{"yahoodns.net"},
		messagesPerConnection: 20, // Yahoo Help SLN3433: closed without a reply after 20; a new connection is welcome at once, their number is not published
	},
	{
		// Apple publishes none (support.apple.com/102322). Validity names 50 messages a connection, KumoMTA ships 5.
		name: "apple", mx: []string{"mail.icloud.com"},
		messagesPerConnection: 50,
		noBDAT:                true, // as gmail
	},
	{
		name: "comcast", mx: []string{"comcast.net"},
		connections:           25,   // postmaster.comcast.net: 25 simultaneous connections from one address
		recipients:            100,  // the same page: 100 recipients a message
		messagesPerConnection: 1000, // shipped by KumoMTA, "provided directly by Comcast"
	},
	{
		// United Internet: GMX, WEB.DE, mail.com, and the hosted domains of IONOS.
		name: "gmx", mx: []string{"gmx.net", "web.de", "mail.com", "kundenserver.de", "ionos.de", "ionos.com", "ionos.co.uk", "ionos.fr", "ionos.es", "ionos.it", "1and1.com", "1und1.de"},
		messagesPerConnection: 100, // shipped by KumoMTA, "provided directly by mail.com"
	},
	{
		name: "orange", mx: []string{"orange.fr", "wanadoo.fr"},
		connections: 3, // shipped by KumoMTA, after messagerie.orange.fr/postmaster.html: 3 for each MX host; more gets 421 OFR004_104
	},
	{
		name: "laposte", mx: []string{"laposte.net"},
		connections:           2,   // published by several senders as La Poste's rule: 2 connections,
		messagesPerConnection: 100, // of 100 messages each (LPN027_503 beyond)
	},
	{name: "free", mx: []string{"free.fr"}}, // postmaster.free.fr names its replies and no limits
	{name: "sfr", mx: []string{"sfr.fr", "neuf.fr"}},
	{name: "t-online", mx: []string{"t-online.de"}}, // postmaster.t-online.de names no limits
	{name: "mailru", mx: []string{"mail.ru"}},
	{name: "yandex", mx: []string{"yandex.ru", "yandex.net", "yandex.com"}},
	{name: "libero", mx: []string{"libero.it"}},
	{name: "seznam", mx: []string{"seznam.cz"}},
	{name: "netease", mx: []string{"netease.com", "163.com"}}, // mail.163.com/help: limits of connections, messages and recipients, none in numbers
	{name: "qq", mx: []string{"qq.com"}},                      // service.mail.qq.com: limits for address, domain and sender, by minute, hour and day; the numbers are secret
}

// rule is what the table says about a provider's sites, in the form of a [[site]]. It never allows more than [pool] does: an admin
// who lowers a limit for all sites means the large ones too.
func (p *provider) rule(base Config) Rule {
	r := Rule{Name: p.name, Provider: p.name, RecipientsPerMessage: p.recipients, DomainsPerTransaction: p.domains}
	if p.connections < base.ConnectionsPerSite {
		r.Connections = p.connections
	}
	if p.messagesPerConnection < base.MessagesPerConnection {
		r.MessagesPerConnection = p.messagesPerConnection
	}
	if p.noBDAT {
		r.BDAT = "off"
	}
	return r
}
