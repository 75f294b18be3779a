package smtp

// mailbox are the names of what a recipient may be called. A bare "address" is not among them: it may be that of a host.
const mailbox = "{user|recipient|mailbox|mail box|account|alias|addressee|username|userid|user name|user account|email account|mail account|local part" +
	"|email address|e mail address|mail address|recipient address|destination address|email adress|e mail adress|email|virtual user|local user|rcpt|requested user|requested mailbox}"

// clearRules has words that say what is meant, whatever codes stand before them.
var clearRules = []rule{
	// A recipient's own limits: the site takes mail for others.
	{Rate, ScopeRecipient, "", []string{
		"receiving mail at a rate", "receiving email at a rate", "receiving mail too", "receiving email too",
		"receiving messages too", "too many recent messages", "recipient thread limit", "too many messages for this user",
		"too many messages for this recipient", "too many messages to this", "message receive limit",
		"messages they can receive", "has received too many", "unavailable or access", "{recipient|user|mailbox} has exceeded their limit",
		"recipient is receiving", "mailbox received too", "user received too", "received too much",
		"recipient rate limit", "limit for this recipient", "limit for this user", "too many mails for this",
		"receivingrate",
	}},
	{Rate, ScopeMessage, "", []string{
		"too many recipients for this", "too many recipients in", "too many recipients per", "too many rcpt",
		"recipients count exceeds", "too many recipients specified", "maximum number of recipients",
		"number of recipients exceeds", "only one recipient", "one recipient at a time", "rp rcl", "rp trc",
	}},
	{MailboxFull, ScopeRecipient, "", []string{
		"messages in ... mailbox exceeded", "maximum allowed number of messages", "{mailbox|mail box} {full|is full}",
		"too many {messages|messagens|mails} {on|in} {the server|this}", "too many mails on", "zuviele mails auf", "than the space",
	}},
	{Greylisting, ScopeMessage, "", []string{
		"greylist", "graylist", "grey list", "gray list", "greylst", "internal resource temporarily unavailable",
		"internal resources are temporarily unavailable", "try another server", "come back later", "first time sender",
		"postgrey", "sqlgrey", "grau gelistet", "lista gris", "liste grise", "灰名单",
	}},
	{Reputation, ScopeSite, "", []string{
		"aup cdrbl", "aup cxbl", "aup cxsndr", "aup in 1", "aup out", "ip is rejected",
		"not authorized to send email directly", "ts01", "ts02", "ts03", "sc 00", "dy 00", "ip is hangup",
		"is currently blocked", "no access for this ip", "mail is blocked automatically", "intrusion prevention",
		"lpn000", "lpn007 510", "due to abuse", "too many spams", "spam origin", "sending spam",
	}},
	{Reputation, ScopeSite, "5xx", []string{
		"unusual rate of", "connection refused from", "connections from your", "too many {unknown|invalid} {rcpt|recipients} ... from {this|host}",
	}},
	{Rate, ScopeSite, "4xx", []string{"messages from ... werent sent"}},
	{BadMailbox, ScopeRecipient, "5xx", []string{
		"{mailbox|account|user|recipient|address} ... inactivity", "locked by abuse team",
	}},
	{BadMailbox, ScopeRecipient, "1.3", []string{"bad address", "{badly formed|invalid|malformed|illegal|wrong} {address|recipient address|mailbox name}", "address syntax"}},
	{BadMailbox, ScopeRecipient, AtRCPT, []string{"bad address", "{badly formed|invalid|malformed|illegal|wrong} {address|recipient address|mailbox name}", "address syntax"}},
	{BadDomain, ScopeRecipient, "", []string{"domain {no longer|is no longer|retired|has been retired|is obsolete}"}},
	{Rate, ScopeSite, "7.28", []string{"bulk email"}},
	{Policy, ScopeSender, "", []string{"outgoing {mail|email|messages} ", "outbound {mail|email} "}},
	{Content, ScopeMessage, "", []string{
		"{message|mail|email|content} {is banned|rejected by unicomp}",
		"filter rejection", "rejected by {filter|dcc|spam|antispam|content}", "blocked by {filter|spam |content}",
		"{rejected|blocked|denied|filtered} as {spam|junk|bulk}", "sensitive word", "sensitive content", "blocking url", "embedded images", "eingebettet", "quarantined", "blank from", "as a from address", "format restriction", "yun medusa",
		"spam score", "attachment type", "permanently rejected message", "viral", "human verification",
	}},
	{Rate, ScopeSite, "", []string{
		"messages from ip temporarily deferred", "message from ip temporarily deferred", "your account are exceeded", "message submission rate", "recipient errors detected",
		"recipient quota exceeded",
		"unusual rate of", "too many recipients from", "too many recipients received", "connection refused from",
		"resources unavailable", "service temporarily unavailable try", "message threshold", "exceeded threshold", "exceeded permitted",
	}},
	{Reputation, ScopeSite, "", []string{
		"accept {mail|email|connections|messages} from your {ip|server|host}", "accept connections from your",
		"identified as spammer",
		"a problem occurred", "spam client", "your ip address is {flooding|generating|sending|spamming}",
		"your ip is {flooding|generating|sending|spamming}", "spam rate exceeded", "lpn007 10", "your {mail|email|message} from ip", "connection from ip", "http://spamcop", "http://www.spamcop", "http://www.dnsbl", "http://security.rr.com", "abus ", "ont ete bloques", "access to submit messages", "ip reject ", "mi ipb", "storedrv.submission.exception:outboundspam", "by spamhaus", "activity from", "mail from your {ip|host|server}", "country",
	}},
	{Rate, ScopeSender, "", []string{
		"sender frequency", "submission quota", "daily sending quota", "reached your daily", "limit exceeded for user",
	}},
	{Other, ScopeUnknown, "", []string{
		"protocol violation", "multiple destination domains", "temporary lookup failure",
	}},
	{Other, ScopeSite, "", []string{
		"insufficient system", "no space left on device", "system resources", "insufficient disk", "out of disk",
		"disk full",
	}},
	{BadMailbox, ScopeRecipient, "", []string{
		"handle mail for {that|this} user", "mail receiving disabled", "^ address not found", "does not have an account here", "user not a member", "user status is locked", "locked or suspended", "is now disabled", "list of {allowed|valid} recipients", "no such id ", "not in recipient list",
		"not listed in {domino|the|directory|public name|our|this}", "not in name directory",
	}},
	{Network, ScopeSite, "", []string{
		"in the queue too long", "has been in the queue", "could not be delivered for", "could not deliver for",
		"retry timeout exceeded", "retry time not reached", "unable to deliver message after", "envelope expired",
	}},
	{Content, ScopeMessage, "", []string{
		"ou 00", "mcspamsignature", "your message failed several", "spam classification", "its content presents",
		"too much mail data", "blocked using spam pattern", "duplicate header", "mail rejete", "non sollicit", "password protected", "multi.surbl", "multi.uribl", "url host", "a url ", "content polic",
	}},
	{Rate, ScopeSite, "4xx", []string{"service refuse", "aup cxthrt", "aup cxcnct"}},
	{Reputation, ScopeSite, "5xx", []string{"service refuse"}},
	{Network, ScopeSite, "", []string{
		"malformed name server", "malformed dns", "malformed or unexpected name", "name service error ... try again",
	}},
	{Auth, ScopeRecipient, "", []string{"resolver.rst.authrequired"}},
	{Auth, ScopeSender, "", []string{
		"is not allowed to send mail from", "is not allowed to send from", "mismatches client ip",
		"not allowed to send mail for",
	}},
	{Policy, ScopeSite, "", []string{
		"not allowed to connect", "only registered", "only authenticated", "mx only", "invalid ip",
		"insecure mail relay", "ip not in whitelist", "connection rejected by policy",
		"use the smtp server of your isp",
	}},
	{Policy, ScopeSite, "", []string{"helo ... dns", "lib 420", "envelope blocked", "closed system"}},
	{Other, ScopeUnknown, "", []string{"server configuration problem", "temporary server error", "per transaction exceeded"}},
	{MailboxFull, ScopeRecipient, "", []string{
		"exceed maximum mailbox size", "mailbox has exceeded the limit", "{mailbox|mail box|account} is full",
	}},
	{Policy, ScopeMessage, "", []string{"blocked by ... policy",
		"email policy violation"}},
	{BadDomain, ScopeRecipient, "", []string{
		"relaying denied", "relay access denied", "relaying not", "relaying is not", "relay not", "no mail hosts", "specified domain", "rejected no domain", "relevant mx records point", "credentials for relay", "open relay {not|is not}", "permitted to relay", "allowed to relay", "had no relevant answers",
		"doesnt receive email", "indicated no smtp service", "do not point to us", "couldnt find any host", "cannot resolve ... domain",
	}},
	{Policy, ScopeRecipient, "", []string{"sender not pre approved", "nur emails von", "only allowed for local", "not a member of this {list|mailing list}", "^ not a member", "list closed", "list is closed", "member of the {list|mailing list}", "{user|recipient} in blacklist", "rejected by this user"}},
	// What is said about the sender's address: its domain, not the recipient's, does not exist.
	{Auth, ScopeSender, "", []string{
		"sender rejected spf", "spf ", "spfail", "http://www.openspf", "https://www.openspf", "openspf",
		"sender policy framework", "dkim", "dmarc", "domainkeys", "arc validation", "unauthenticated", "sender id",
		"purported responsible", "mi dmc", "mi spf", "domain alignment", "authentication checks",
		"authentication requirements", "required authentication level", "authentication information or fails",
		"not pass authentication",
	}},
	{Auth, ScopeSite, "", []string{
		"reverse dns", "ptr record", "no dns a data", "rp rdn", "dns nr", "dns p3", "host cant be resolved", "{sender|client|your|sending} ip must resolve", "no ptr", "ptr ", "rdns", "reverse hostname", "reverse lookup",
		"cannot find your", "could not find your", "failure in dns", "password", "ip name lookup failed",
		"ip name possibly forged", "fix reverse", "reverse address", "hostname lookup", "reverse name", "no reverse",
		"does not resolve to", "forward confirmed", "bad dns", "dns ptr", "unverifyable sending",
		"unverifiable sending", "dns pointer",
	}},
	{Auth, ScopeSite, "", []string{
		"authentication required", "smtp auth", "authentication is required", "must authenticate", "not authenticated",
		"authenticate first", "requires authentication", "auth required", "pop before smtp",
		"client was not authenticated", "cannot authenticate", "mail before sending", "login attempts", "username and password",
		"need to authenticate", "please log in", "unauthorized client", "check mail first", "bad username or password",
		"authentication credentials invalid", "authentication failed", "authentication failure", "auth error",
		"credentials rejected",
	}},
	{TLS, ScopeSite, "", []string{
		"starttls", "tls required", "tls is required", "requires tls", "require tls", "requiretls", "tls handshake",
		"tls negotiation", "tls connect", "without tls", "use tls", "using tls", "tls 1", "tlsv1", "security subsystem",
		"tls version", "tls session",
		"tls error", "tls alert", "tls not", "tls unavailable", "encryption required", "encryption needed",
		"encryption is required", "encrypted connection", "ssl ", "certificate", "plaintext connection",
		"insecure connection", "over tls", "tls encryption", "enforced tls", "unencrypted", "sts policy", "mta sts",
		"dane ", "cannot start tls",
	}},
	{Other, ScopeUnknown, "50x", []string{
		"bad sequence", "improper sequence", "use helo", "helo first", "hello first", "ehlo first", "sequence error",
		"need rcpt", "command pipelining", "rcpt first", "need mail", "command not", "unrecognized command", "unknown command",
		"syntax error in parameters", "command unrecognized", "^ syntax", "^ line too long",
	}},
	{Policy, ScopeSite, "", []string{
		"helo command rejected", "helo rejected", "bad helo", "invalid helo", "ehlo rejected", "helo name",
		"helo hostname", "helo ehlo", "need fully qualified hostname", "need fully qualified host", "your helo", "helo argument",
		"invalid hostname", "bad ehlo", "invalid ehlo", "fake helo", "forged helo", "illegal helo", "helohost",
	}},
	{Reputation, ScopeSender, "", []string{"bad outbound sender", "due to poor reputation", "sender address blocked using"}},
	{Policy, ScopeSender, "", []string{
		"message sending for this", "sending for this account", "your account", "your email account", "your mailbox",
		"sender account", "senders account", "domain of sender", "sender domain", "sender address domain",
		"senders domain", "sender address rejected", "sender rejected", "blocked senders", "sender blocked",
		"sender address blocked", "unknown sender", "sender unknown", "invalid sender", "verification failed while",
		"postmaster verification", "dns check failed", "domain may not exist", "domain must resolve", "sender address",
		"valid sender domain", "invalid dns mx", "your domain {does not|doesnt|could not|cannot}",
		"sender email", "senders email", "from email", "sender mailbox", "sending account",
		"no access for this user", "no access for this domain", "sender verify", "sender verification",
		"sender is invalid", "sender invalid", "unroutable sender", "unrouteable sender", "sender address does not",
		"sender does not exist", "sender doesnt exist", "senders address", "could not verify sender", "unable to verify sender", "unable to verify the sender",
		"cannot verify sender", "sender could not be verified", "verification failed for", "callback", "callout",
		"sending address not accepted", "mail from domain", "domain in your from", "domain in sender", "sender denied",
		"bad sender", "from domain is invalid", "domain is invalid", "null sender", "empty sender", "empty envelope",
		"bounce address", "multi recipient bounce", "return path", "backscatter", "batv", "envelope sender", "not owned by user", "envelope from", "reverse path",
		"from address", "mail from address", "mail from invalid", "fake sender", "sender not allowed",
		"sender is not allowed", "email address is not verified", "sender address is not", "sender mail address",
		"address of the sender", "adresse expediteur", "expediteur", "absender", "remitente", "remetente", "mittente",
		"发件人", "发信人",
	}},
	// Limits of the site.
	{Reputation, ScopeSite, "", []string{
		"will be permanently deferred", "permanently deferred", "part of their network is on our block",
		"too many unwanted messages", "banned sending ip", "banned ip", "low reputation", "poor reputation",
		"bad reputation", "mauvaise reputation", "ip is blocked", "because the ip is in", "reputation of the sending",
		"reputation of your", "due to bad behavior", "too many spam messages", "hl ipb",
		"has been temporarily blocked", "has been blocked for", "blocked for attempting", "temporarily blocked due to",
	}},
	{Rate, ScopeSite, "", []string{
		"rate limit", "ratelimit", "rate limited", "rate control", "at a rate", "sending rate", "message rate",
		"connection rate", "unusual rate", "mail rate", "send rate", "rate of mail", "exceeded the rate",
		"rate exceeded", "too many connections", "too many concurrent", "too many simultaneous", "too many sessions",
		"too many messages", "too many mails", "too many emails", "too many errors", "too many unknown",
		"too many invalid", "too many bad", "too many failed", "too many recipients this", "sent to too many",
		"throttl", "too fast", "too frequent", "too quickly", "slow down", "unexpected volume", "unusual volume",
		"excessive volume", "sending quota", "sending limit", "hourly limit", "daily limit", "daily quota",
		"hourly quota", "per hour", "per minute", "per day", "daily relay quota", "relay limit", "max messages", "number of messages", "messages per session", "queue quota", "maximum messages", "messages per connection", "max message per",
		"message limit",
		"frequency limited", "frequency limit", "too many transactions", "concurrent connections", "concurrency",
		"simultaneous connections", "connection limit", "connections limit", "maximum connections", "max connections",
		"maximum number of connections", "exceeded the limit", "server busy", "server is busy", "server too busy",
		"too busy", "system busy", "ports are busy", "is busy", "currently busy", "overload", "load too high",
		"high load", "system load", "resources temporarily", "ts04", "tss04", "tss05", "rl000", "trop de connexions",
		"trop de messages", "zu viele verbindungen", "demasiadas conexiones", "too much mail", "flood", "mi stc",
		"mi sfq", "mi cel", "mi qfc", "mi nhd", "hl ifc", "hl itc", "hl icc", "rp cel", "rp qrc", "rtr rl", "dyn t1",
		"频率", "sent too many", "exceeded ... messages", "limit exceeded on", "speeding", "maximum rate",
		"bulk sending limit", "connecting too", "connect too", "reduce ... rate", "temporarily deferred due",
	}},
	{Rate, ScopeMessage, "", []string{"too many recipients"}},
	{MailboxFull, ScopeRecipient, "", []string{
		"{mailbox|mail box|inbox|account|user|recipient|maildir|mail folder|folder|mailfolder|mail storage|storage" +
			"|quota|postbox|mail file} {full|is full|over quota|is over quota|exceeded|is over|would exceed" +
			"|over the limit|has insufficient|limit exceeded|overflow|has no space|has reached|is too full|over limit" +
			"|at quota}",
		"{mailbox|user|account|recipient} has {exceeded|reached} {the|its|their|his|quota|storage|disk|mailbox|maximum} ",
		"mailbox exceeded", "mailbox has exceeded", "mailbox exceeds", "mailbox size limit", "inbox is full",
		"inbox full", "maildir full", "maildir over quota", "user is over", "is over quota", "over quota", "overquota",
		"over its quota", "over the quota", "over their quota", "over disk quota", "over storage", "quota exceed",
		"exceeded quota", "exceeds quota", "exceed quota", "exceeded the quota", "exceeded storage",
		"exceeded its quota", "exceeded their", "exceeded his quota", "quota limit", "out of storage", "quota violation", "out of quota", "not enough space", "insufficient space", "users quota",
		"disk quota", "account storage", "storage limit",
		"disc quota", "disk space limit", "not enough storage", "insufficient storage in", "storage full",
		"recipient storage", "mailbox quota", "user quota", "quota full", "no space left in", "mailbox would exceed",
		"would exceed mailbox", "account is full", "is full", "space on their", "storagelimit", "shutoffquota", "mapiexceptionshutoff",
		"quotaexceeded", "postfach voll", "postfach ist voll", "quota uberschritten", "speicherplatz", "boite pleine",
		"boite aux lettres pleine", "quota depasse", "buzon lleno", "cuota excedida", "buzon esta lleno",
		"casella piena", "caixa cheia", "caixa postal cheia", "quota superata", "空间不足", "容量不足", "邮箱已满",
		"skrzynka pelna", "skrzynka jest pelna", "переполнен", "容量", "mailbox limit", "insufficient quota",
		"over the allowed quota", "over the maximum", "overdrawn", "hard quota", "mailbox capacity",
	}},
	// Blocklists; a list of URLs judges the content.
	{Policy, ScopeMessage, "", []string{"for policy reasons"}},
	{Content, ScopeMessage, "", []string{
		"uribl", "surbl", "url listed", "contains a url", "url in message", "urls in the message", "links in",
	}},
	{Policy, ScopeRecipient, "", []string{
		"blocked by the recipient", "blocked by recipient", "recipient has blocked", "rejected by recipient",
		"rejected by the recipient", "recipient preferences", "recipients blacklist", "only accept", "accepts mail from",
		"not in the recipients", "refused by recipient", "user has blocked", "resolver.rst.notauth",
		"resolver.rst.restricted", "not authorized to send to", "unifiedgroupagent", "local user only",
		"local users only", "permission to post", "not allowed to post", "recipient does not accept",
		"does not accept mail from", "not accepting mail from", "rejected by destination domain",
		"not permitted to send to", "personal blacklist", "recipients allowed", "allowed senders list",
	}},
	{Reputation, ScopeSite, "", []string{
		"blocked using", "block list", "blocklist", "blacklist", "black list", "blackhole", "dnsbl", "rbl ", "rbls ",
		"zen.spamhaus", "spamhaus", "spamcop", "sorbs", "barracudacentral", "uceprotect", "abuseat", "abusix",
		"mailspike", "senderbase", "senderscore", "sender score", "is listed", "listed in", "listed at", "listed on",
		"listed by", "ip reputation", "reputation", "ip has been blocked", "ip address has been blocked", "ip blocked",
		"black ip", "blocked for abuse", "blocked for spam", "poor sender", "http://www.spamhaus",
		"https://www.spamhaus", "weren t sent", "suspected spam ip", "suspected spam sender", "spam source",
		"source of spam", "too much spam from", "known spam", "spammer", "open relay", "open proxy", "dynamic ip", "dynamic address",
		"dial up", "dialup", "residential", "generic hostname", "bl000", "http://postmaster.comcast", "rtr bl", "rtr du",
		"rly b", "con b1", "hl rep", "network is on", "verhalten", "schwarze liste", "黑名单", "dnswl", "bad ip",
		"not accepted from your ip", "host network not allowed", "ip not allowed", "ip address is not allowed",
		"blocked your ip", "ip address blocked", "blocked ip", "ptrcheck", "https://support.proofpoint.com/dnsbl",
		"https://ipcheck.proofpoint", "cloudmark", "csi ", "has been blacklisted", "user complaints", "complaint",
		"rejected ip", "unfortunately messages from",
	}},
	{Content, ScopeMessage, "", []string{
		"too large", "too big", "size limit", "message size", "maximum size", "max message size",
		"maximum message size", "size exceed", "exceeds size", "mailsize limit", "larger than", "exceeds the maximum",
		"too long", "sizelimit", "message length", "line limit", "line length", "oversize", "attachment", "anhang",
		"virus", "malware", "infected", "trojan", "phish", "zu gross", "trop volumineux", "demasiado grande",
		"heuristics", "executable", "banned file", "illegal content", "prohibited content", "dangerous",
	}},
	{Content, ScopeMessage, "", []string{
		"message content", "mail content", "content rejected", "content reject", "content denied", "content filter",
		"content refused", "content block", "spam content", "spam detected", "spam message", "spam email", "spam mail",
		"spam rejection", "spam score", "spam points", "spam block", "spam id", "spam filter", "spam denied",
		"spam pattern", "spam not", "spamming", "as spam", "be spam", "looks like spam", "like spam", "consider spam",
		"similar to spam", "is spam", "probable spam", "probably spam", "detected spam", "unsolicited", "bulk mail",
		"bulk email", "mass mail", "junk ", "junkmail", "classified as", "identified as", "scored as", "spamassassin",
		"spamprofiler", "spambouncer", "antispam checks", "anti spam engine", "dspam", "spamsignature", "ube ", "uce ",
		"dt spm", "dt sum", "hvu b", "suspicious", "spam like", "spam reject", "reject spam",
		"high probability of spam", "rejecting spam", "considered spam", "spamverdacht", "pourriel", "垃圾邮件",
	}},
	{Content, ScopeMessage, "", []string{
		"conform to", "mail data refused", "refused by the scanner", "header error", "banned content", "file type", "no date header", "no from header",
		"headers too", "message header", "in from",
		"multiple from", "missing from", "missing date", "missing message id", "from header", "8 bit data", "8bit",
		"bare lf", "bare cr", "bare newline", "stray newline", "rfc 5322", "rfc 2822", "rfc5322", "rfc2822",
		"invalid header", "not rfc compliant", "non rfc", "message format", "mime ", "invalid message id",
		"duplicate message id", "smtputf8", "illegal characters", "nul characters", "header syntax", "violates rfc",
	}},
	// Where mail goes; no mailbox was asked.
	{Network, ScopeSite, "", []string{
		"malformed name server reply", "malformed or unexpected name server", "host not found try again",
		"try again name service", "dns query failed", "timed out", "timeout", "connection refused", "connection reset",
		"lost connection", "unreachable", "no route to host", "broken pipe", "message expired", "queue.expired",
		"delivery time expired", "no answer from host", "could not connect", "cannot connect", "cant connect", "connection expired", "unable to connect", "connection died",
		"connection dropped", "server refused to talk", "unable to contact", "socket error", "servfail",
	}},
	{Network, ScopeMessage, "", []string{
		"too many hops", "hop count", "hopcount", "hops this may", "routing loop", "mail loop", "loops back",
		"looping", "loop detected", "routing.loop",
	}},
	{BadDomain, ScopeRecipient, "", []string{
		"host or domain name not found", "domain not found", "domain name not found", "domain does not exist",
		"domain doesnt exist", "no such domain", "unknown domain", "domain unknown", "nxdomain", "relay access denied",
		"relay denied", "relaying not", "relay not permitted", "relaying prohibited", "relay prohibited",
		"not permitted to relay", "not allowed to relay", "authorized to relay", "unable to relay", "cannot relay",
		"we do not relay", "dont relay", "no relay", "not relay", "denies relay", "rcpthosts", "trying to use me",
		"as a relay", "relaying to", "unauthorized relay", "relay traffic", "relay disabled", "relaying disabled",
		"host is unknown", "domain is unknown", "domain of {the recipient|recipient}", "recipients domain", "domain ... {not found|does not exist|doesnt exist}",
		"handle mail for", "not a gateway",
		"relay rejected", "null mx", "nullmx", "host does not accept mail",
		"domain does not accept", "not a local domain", "not local domain", "domain not local", "domain is not hosted",
		"not hosted here", "invalid domain", "domain invalid", "bad domain", "domain is not local",
		"name or service not known", "host not found", "host unknown", "unknown host", "does not accept mail", "no mx",
		"not handle mail for", "not handle ... domain", "domain is not accepted", "domain not accepted",
		"domain not allowed", "not a gateway for", "not our domain", "could not be found in dns", "domain isnt",
		"domain is not in", "recipient domain", "domain is not valid", "domain is not reachable", "unrouteable domain",
		"unroutable domain", "relaying mail to", "unrouteable mail domain", "not configured to relay",
		"mail for this domain", "domain has been disabled", "domain suspended", "domain is disabled",
	}},
	// A mailbox that is closed for a moment belongs to a living reader.
	{Other, ScopeRecipient, "", []string{
		"temporary locked", "temporarily locked", "temporarily disabled", "temporarily suspended",
		"temporarily inactive", "temporarily deactivated", "{disabled|suspended|locked|inactive|deactivated} temporar", "mailbox temporarily", "account temporarily",
		"user temporarily", "mailbox busy", "mailbox is busy", "mailbox locked", "mailbox is locked",
		"unverified address", "address verification in progress", "recipient verify", "could not verify recipient",
		"try again later ... user unknown",
	}},
	{BadMailbox, ScopeRecipient, "", []string{
		mailbox + " {unknown|not known|is unknown|is not known|not found|is not found|was not found" +
			"|could not be found|cannot be found|not exist|not exists|is invalid|invalid|nonexistent|non existent" +
			"|not recognized|not registered|no longer exists}",
		mailbox + " {does not exist|does not exists|doesnt exist|dosnt exist|doesnt exists|do not exist|dont exist" +
			"|did not exist|not valid|is not valid|no longer valid|no longer active|is no longer valid" +
			"|is no longer active|is no longer in use|is no longer available|no longer available}",
		mailbox + " {disabled|is disabled|has been disabled|was disabled|inactive|is inactive|not active" +
			"|is not active|closed|is closed|has been closed|was closed|deleted|is deleted|has been deleted" +
			"|was deleted|removed|has been removed}",
		mailbox + " {suspended|is suspended|has been suspended|currently suspended|is currently suspended" +
			"|deactivated|is deactivated|has been deactivated|expired|has expired|is expired|terminated|cancelled" +
			"|canceled|discontinued|is frozen|frozen|retired}",
		"{unknown|no such|invalid|inactive|nonexistent|non existent|nonexisting|disabled|deactivated|deleted" +
			"|unrecognized|suspended|expired|closed} {user|recipient|mailbox|mail box|mail user|mail address|mail drop" +
			"|account|addressee|alias|local part|local user|local mailbox|username|userid|user name|email|e mail" +
			"|person|subscriber|customer|mail recipient|rcpt|destination mailbox}",
		"{not a|is not a|not an} {known user|valid user|valid mailbox|valid recipient|valid account|local user" +
			"|registered user|registered gateway user|active address|active user|active mailbox|customer|current user" +
			"|subscriber|valid local}",
		"{no user|no mailbox|no mail box|no account|no recipient|nobody|no one|no person|no local user" +
			"|no local mailbox} {by that|with that|by this|with this|here|found|named|at this|called|for this" +
			"|available|of that|in this|such}",
		"{user|person|recipient|account} {not here|is not here|not local user|is not known here" +
			"|does not have an account|doesnt have an account|does not have a mailbox|doesnt have a}",
		"{does not|doesnt} have an {email|account|address|mailbox}", "{email|address|account} has changed",
		"{user|mailbox|account|recipient} ... {does not exist|doesnt exist|not found|no longer exists}",
		"no such address", "address unknown", "^ unknown user",
		"does not have an account here", "not known here", "not known at this", "not our customer", "not our user",
		"not user of this", "dont exists that user", "bad recipient", "userunknown", "recipnotfound", "recipientnotfound", "nosuchuser", "disableduser", "inactiveuser",
		"resolver.adr.recip", "resolver.adr.exrecip", "resolver.adr.badprimary", "recipient no longer", "rcpt does not exist",
		"not found in the directory", "not present in directory",
		"account that you tried to reach {does not exist|is disabled|is inactive}", "user mail box not found",
		"disabled recipient", "recipient account is blocked", "compte du destinataire est bloque", "inbounds disabled",
		"no longer on server", "no longer in use", "do not have a user", "dont have a user", "user has moved", "recipient moved", "validrcptto", "no longer with the", "left the company",
		"no longer employed",
		"has left the {company|organi|school|university}", "deactivated mailbox", "account discontinued", "due to inactivity", "for inactivity", "extended inactivity", "falta de uso", "inutilizzo",
		"disabled or discontinued", "closed or disabled", "address is no longer", "address no longer",
		"mailbox no longer", "account no longer", "user no longer", "unrecognized recipient",
	}},
	{BadMailbox, ScopeRecipient, "", []string{
		"destinataire invalide", "{utilisateur|destinataire|adresse|compte|boite} ... nexiste pas",
		"{benutzer|empfanger|empfaenger|postfach|konto|mailbox|adresse} ... existiert nicht",
		"kein solcher {benutzer|empf}",
		"{usuario|destinatario|cuenta|buzon|buzon|direccion|direccion|usuario|destinatario|conta} ... {no existe" +
			"|nao existe|nao existe|inexistente}",
		"{odbiorca|konto|adres|skrzynka} ... nie istnieje", "{gebruiker|ontvanger|adres|postbus} ... bestaat niet",
		"{пользователь|адресат|получатель|почтовый ящик|ящик} ... {не существует|не найден}",
		"нет такого пользователя", "{用户|收件人|邮箱|帐号|账号}不存在", "destinataire inconnu", "destinataire inexistant",
		"adresse inconnue", "adresse inexistante", "utilisateur inconnu", "utilisateur inexistant",
		"adresse d au moins un destinataire", "adresse dau moins un destinataire", "boite inconnue",
		"empfanger unbekannt", "unbekannter empf", "empfanger unbekannt", "empfaenger unbekannt",
		"unbekannter benutzer", "benutzer unbekannt", "adresse unbekannt", "postfach nicht", "usuario desconocido",
		"usuario no existe", "destinatario desconocido", "cuenta no existe", "buzon no existe", "direccion no existe",
		"usuario inexistente", "cuenta inexistente", "usuario desconhecido", "usuario desconhecido", "usuario nao",
		"usuario nao", "destinatario desconhecido", "destinatario inexistente", "conta inexistente",
		"destinatario sconosciuto", "destin sconosciuto", "destinatario inesistente", "utente sconosciuto",
		"utente inesistente", "indirizzo inesistente", "indirizzo sconosciuto", "casella inesistente",
		"destinatario errato", "nie ma takiego", "nieznany", "konto niedostepne", "onbekende gebruiker",
		"gebruiker onbekend", "用户不存在", "收件人不存在", "无此用户", "未开通", "宛先不明", "ユーザー不明",
	}},
	// Directory based blocking of Exchange Online: no such recipient in the tenant. The same words with 5.7.1 are a rule's.
	{BadMailbox, ScopeRecipient, "4.1", []string{"access denied", "recipient address rejected"}},
	{Other, ScopeUnknown, "", []string{
		"internal error", "internal system error",
		"internal server error", "local error in processing", "temporary local problem", "local problem",
		"out of memory", "configuration error", "upstream error",
	}},
}

// vagueRules has words that mean something only when the status code does not say more.
var vagueRules = []rule{
	{BadMailbox, ScopeRecipient, "1.0", []string{"address rejected"}},
	{Rate, ScopeSite, "4xx", []string{
		"service unavailable", "service temporarily unavailable", "service currently unavailable",
		"service not available", "service is unavailable", "try later", "temporarily deferred", "please try later",
	}},
	{Greylisting, ScopeMessage, "7.1", []string{"^ try again later", "^ temporarily rejected"}},
	{Greylisting, ScopeMessage, "4xx", []string{
		"try again in", "retry in", "please retry after", "try again after", "retry after",
	}},
	{MailboxFull, ScopeRecipient, "", []string{"quota "}},
	{Content, ScopeMessage, "", []string{"{message|mail|email} {was|has been|is} blocked"}},
	{Policy, ScopeSender, "", []string{"spoof", "impersonat"}},
	{Content, ScopeMessage, "", []string{"permanent failure for one or more recipients"}},
	{Policy, ScopeRecipient, "", []string{"banned recipient"}},
	{Reputation, ScopeSite, "", []string{"blocked", "abuse", "banned"}},
	{Content, ScopeMessage, "", []string{"spam", "bulk", "antispam", "antyspam"}},
	{Content, ScopeMessage, AtDot, []string{"message filtered"}},
	{Rate, ScopeSite, "4xx", []string{"recipient address rejected service"}},
	{Policy, ScopeRecipient, "", []string{
		"recipient address rejected", "recipient rejected", "message filtered", "badrcptto", "rcpt is rejected",
	}},
	{BadMailbox, ScopeRecipient, "5xx", []string{"no valid recipients"}},
	{Policy, ScopeUnknown, "", []string{"policy", "policies", "mailpolicy", "administrat", "violat"}},
	{Content, ScopeMessage, "", []string{
		"{mail|message} ... is rejected",
		"{message|mail|email|content} {rejected|blocked|is blocked|was rejected|was blocked|is rejected|has been rejected}",
	}},
	{Content, ScopeMessage, AtDot, []string{"{message|mail} refused", "^ rejected", "^ refused"}},
	{Policy, ScopeUnknown, "", []string{
		"prohibited", "not allowed", "not permitted", "access denied", "denied", "refused",
		"forbidden", "not authorized", "unauthorized", "requires confirmation", "^ rejected",
		"rejected by destination", "restricted",
	}},
	{Policy, ScopeSite, "", []string{"client host rejected", "not accepting connections"}},
	{Policy, ScopeSender, AtMAIL, []string{"does not exist", "doesnt exist"}},
	{Other, ScopeRecipient, "5xx", []string{"try again", "try later", "retry later", "temporar"}},
	{BadMailbox, ScopeRecipient, "5xx", []string{
		"no longer valid", "account is unavailable", "account unavailable", "unavailable mailbox", "mailbox is not available", "^ address does not exist", "^ does not exist", "^ doesnt exist", "^ not found",
		"unrouteable address", "unroutable address", "mailbox unavailable", "mailbox not available",
		"mailbox is unavailable", "unavailable mail user",
	}},
	{Other, ScopeRecipient, "", []string{"undeliverable address"}},
	{BadDomain, ScopeRecipient, "5xx", []string{"does not exist", "doesnt exist"}},
	{Rate, ScopeSite, "", []string{"too many"}},
	{Rate, ScopeSite, "4xx", []string{"limit", "deferred", "busy"}},
	{Other, ScopeUnknown, "", []string{
		"temporary server", "temporary system", "temporary failure", "temporary problem", "temporary error",
	}},
}

// statuses are the enhanced status codes, without their first digit, that say enough (RFC 3463, RFC 5248, RFC 7372, and the
// codes of Gmail and of Exchange Online).
var statuses = map[string]Verdict{
	"1.1": {Class: BadMailbox}, "1.3": {Class: BadMailbox}, "1.6": {Class: BadMailbox},
	"2.1": {Class: BadMailbox}, "1.351": {Class: BadMailbox},
	"1.2": {Class: BadDomain}, "1.10": {Class: BadDomain}, "4.4": {Class: BadDomain}, "4.310": {Class: BadDomain},
	"7.64": {Class: BadDomain}, "7.18": {Class: BadDomain},
	"1.7": {Class: Policy}, "1.8": {Class: Policy},
	"2.121": {Class: Rate, Scope: ScopeRecipient}, "2.122": {Class: Rate, Scope: ScopeRecipient},
	"5.3": {Class: Rate, Scope: ScopeMessage},
	"3.0": {Class: Other},
	"3.1": {Class: Other, Scope: ScopeSite}, "3.5": {Class: Other, Scope: ScopeSite},
	"3.2": {Class: Rate}, "4.5": {Class: Rate}, "7.28": {Class: Rate}, "7.500": {Class: Rate},
	"7.650": {Class: Rate}, "7.651": {Class: Rate}, "7.652": {Class: Rate}, "7.508": {Class: Rate},
	"1.90": {Class: Rate, Scope: ScopeSender},
	"2.3":  {Class: Content}, "3.4": {Class: Content}, "7.7": {Class: Content}, "7.16": {Class: Content},
	"4.1": {Class: Network}, "4.2": {Class: Network}, "4.3": {Class: Network}, "4.6": {Class: Network},
	"4.7":   {Class: Network},
	"7.193": {Class: Policy, Scope: ScopeRecipient}, "7.2": {Class: Policy, Scope: ScopeRecipient},
	"7.124": {Class: Policy, Scope: ScopeRecipient}, "7.129": {Class: Policy, Scope: ScopeRecipient},
	"7.133": {Class: Policy, Scope: ScopeRecipient}, "7.134": {Class: Policy, Scope: ScopeRecipient},
	"7.136": {Class: Policy, Scope: ScopeRecipient},
	"7.4":   {Class: TLS}, "7.5": {Class: TLS}, "7.6": {Class: TLS}, "7.10": {Class: TLS}, "7.11": {Class: TLS},
	"7.8": {Class: Auth}, "7.9": {Class: Auth}, "7.12": {Class: Auth}, "7.13": {Class: Auth},
	"7.20": {Class: Auth}, "7.21": {Class: Auth}, "7.22": {Class: Auth}, "7.23": {Class: Auth},
	"7.24": {Class: Auth}, "7.26": {Class: Auth}, "7.27": {Class: Auth}, "7.29": {Class: Auth},
	"7.30": {Class: Auth}, "7.31": {Class: Auth}, "7.32": {Class: Auth}, "7.40": {Class: Auth},
	"7.509": {Class: Auth}, "7.515": {Class: Auth},
	"7.25": {Class: Auth, Scope: ScopeSite}, "7.57": {Class: Auth, Scope: ScopeSite},
	"7.501": {Class: Reputation, Scope: ScopeSender}, "7.502": {Class: Reputation, Scope: ScopeSender},
	"7.503": {Class: Reputation, Scope: ScopeSender},
	"7.511": {Class: Reputation}, "7.850": {Class: Reputation}, "7.750": {Class: Policy, Scope: ScopeSender}, "4.62": {Class: Other}, "7.708": {Class: Reputation},
}
