package pool

// providerReplies are the replies of providers whose meaning for the pace is known, and more than their class says. The rules of
// the file stand before them. Those that are left out say "too many connections" or the like: smtp.Classify finds them, and Pace
// takes back what it had opened last.
//
// How long a rule holds follows the text where that gives a time. Else it is ten minutes: a longer break would keep mail that
// the receiver would take, and the next reply of the kind renews it.
var providerReplies = []ReplyRule{
	// Google, "Gmail SMTP errors and codes" and "Email sender guidelines FAQ": quotas by IP address, SPF domain, DKIM domain and the
	// domain of a link. The last three follow the sender to every address.
	{Name: "gmail-sender", Provider: "gmail", Code: "4.7.28", Match: `your (SPF|DKIM) domain|of your URL domains`, Suspend: true, Scope: "sender"},
	{Name: "gmail-rate", Provider: "gmail", Code: "4.7.28", Match: `unsolicited|rate of (e)?mail|rate limited`, Rate: ReplyRate{Share: 0.5}},

	// Yahoo Sender Hub, "SMTP error codes": [TSS01] to [TSS09] and the older [TS01] to [TS03] are about the address, and hold for all
	// its mail; to go on lengthens them. [TS03] says that retrying will not succeed.
	{Name: "yahoo-blocked", Provider: "yahoo", Code: "421", Match: `\[TSS?03\]`, Suspend: true, For: hour},
	{Name: "yahoo-deferred", Provider: "yahoo", Code: "4xx", Match: `\[TSS?0\d\]`, Suspend: true},

	// Microsoft Learn, "Non-delivery reports in Exchange Online": 4.7.500 to 4.7.699 are limits for an address that is new or has a
	// bad name. 4.7.652 is about connections, and left to Pace.
	{Name: "microsoft-reputation", Match: `4\.7\.65[01] .*temporarily rate limited due to IP reputation`, Code: "451", Rate: ReplyRate{Share: 0.5}},
	{Name: "microsoft-busy", Match: `4\.7\.[56]\d\d Server busy\. Please try again later from`, Code: "451", Rate: ReplyRate{Share: 0.5}},
	// Outlook.com Postmaster, "Troubleshooting": RP-001 is a limit by hour and day, RP-002 one of the connection.
	{Name: "outlook-rate", Provider: "microsoft", Code: "421", Match: `RP-00[12] `, Rate: ReplyRate{Share: 0.5}},

	// postmaster.comcast.net, "SMTP error codes": RL000001 to RL000003 and RL000010 are rate limits by the address's reputation.
	{Name: "comcast-rate", Provider: "comcast", Code: "4xx", Match: `\bRL0000\d\d\b`, Rate: ReplyRate{Share: 0.5}},

	// Orange: OFR…_104 is "too many connections", the others with 421 are "service refused, try later" for the address.
	{Name: "orange-connections", Provider: "orange", Code: "421", Match: `OFR\d*_104`, Window: 1},
	{Name: "orange-refused", Provider: "orange", Code: "421", Match: `Service refus`, Window: 1, Rate: ReplyRate{Share: 0.5}, For: hour / 2},

	// La Poste: the same words with a number of its own.
	{Name: "laposte-refused", Provider: "laposte", Code: "450", Match: `LPN027_503`, Window: 1, Rate: ReplyRate{Share: 0.5}, For: hour / 2},

	// postmaster.gmx.net: "Too many messages have been received in a short period of time … try again in a few hours and reduce the
	// sending rate"; "Rate limit reached".
	{Name: "gmx-rate", Provider: "gmx", Code: "421", Match: `Too many messages have been received|Rate limit reached`, Window: 1, Rate: ReplyRate{Share: 0.5}, For: hour},

	{Name: "mailru-rate", Provider: "mailru", Code: "451", Match: `too many messages from this IP|rate ?limit`, Rate: ReplyRate{Share: 0.5}},

	// mail.163.com/help, codes of bounces: HL:ICC too many connections, HL:IFC too many messages from the address, HL:REP too many
	// unknown recipients; MI:DMC too many messages over one connection; MI:SFQ too many messages of the sender in 15 minutes.
	{Name: "netease-connections", Provider: "netease", Code: "421", Match: `HL:ICC`, Window: 1},
	{Name: "netease-rate", Provider: "netease", Code: "421", Match: `HL:(IFC|REP)`, Rate: ReplyRate{Share: 0.5}},
	{Name: "netease-session", Provider: "netease", Code: "4xx", Match: `MI:DMC`, MessagesPerConnection: 10, For: 24 * hour},
	{Name: "netease-sender", Provider: "netease", Code: "451", Match: `MI:SFQ`, Suspend: true, For: hour / 4, Scope: "sender"},

	// service.mail.qq.com: a permanent code, although each limit ends by itself after minutes or hours.
	{Name: "qq-rate", Provider: "qq", Match: `(connection|ip) frequency limited`, Suspend: true},
	{Name: "qq-sender", Provider: "qq", Match: `(domain|sender) frequency limited`, Suspend: true, Scope: "sender"},
}
