package smtp

import (
	"strings"
	"sync"
)

// hint is a set of the things that a reply speaks of, by its single words. It serves the replies whose phrases nobody has
// seen before: hundreds of programs say in words of their own that there is no such mailbox.
type hint uint32

const (
	hintRecipient hint = 1 << iota // the mailbox and its names
	hintGone                       // it is not there, or closed
	hintFull                       // it has no room
	hintSender                     // the sender, or something of the sender's
	hintHost                       // the host that connects
	hintDomain
	hintMessage
	hintContent // a part of the message, or its form
	hintSize
	hintSpam
	hintListed // a blocklist
	hintBlock  // refused
	hintOften  // too much, too fast
	hintLimit  // a word about a limit
	hintLater  // come again
	hintRelay
	hintAuth
	hintTLS
	hintNet
	hintFault // the receiver is broken
	hintError // perhaps so
)

// A sum gives a class to replies that have all the hints of one set and none of another. Sums are tried in order.
type sum struct {
	class     Class
	scope     Scope
	when      string // as in a rule
	all, none hint
}

// another are hints at any reason but the recipient's own: with one of them, words cannot condemn a mailbox.
const another = hintSender | hintHost | hintContent | hintSize | hintSpam | hintListed | hintOften | hintLimit | hintLater |
	hintRelay | hintAuth | hintTLS | hintNet | hintFault

// otherThanFaults are those of another that say more than a status code, or a vague rule.
const otherThanFaults = another &^ (hintFault | hintNet)

// notTheRecipient are those that even a clear phrase about a mailbox yields to: the mailbox may be full, or the sender's.
const notTheRecipient = hintFull | hintSender | hintSpam | hintOften | hintTLS

// sureSums come before the status code.
var sureSums = []sum{
	{MailboxFull, ScopeRecipient, "", hintRecipient | hintFull, another &^ (hintLater | hintSize)},
	{BadMailbox, ScopeRecipient, "", hintRecipient | hintGone, another | hintFull | hintDomain},
	{BadDomain, ScopeRecipient, "", hintRelay | hintBlock, hintListed | hintSpam | hintOften | hintHost},
}

// lastSums come when neither the status code nor a vague rule has said anything.
var lastSums = []sum{
	{BadMailbox, ScopeRecipient, AtRCPT, hintGone, another | hintDomain | hintBlock | hintFull | hintMessage},
	{Content, ScopeMessage, "", hintSpam, 0},
	{Reputation, ScopeSite, "", hintListed, 0},
	{Auth, ScopeUnknown, "", hintAuth, 0},
	{TLS, ScopeSite, "", hintTLS, 0},
	{MailboxFull, ScopeRecipient, "", hintFull, another},
	{Rate, ScopeSite, "", hintOften, 0},
	{Policy, ScopeSender, "", hintSender | hintBlock, 0},
	{Policy, ScopeSender, "", hintSender | hintGone, 0},
	{Policy, ScopeSender, AtMAIL, hintSender, another &^ hintSender},
	{Reputation, ScopeSite, "", hintHost | hintBlock, hintRecipient},
	{BadDomain, ScopeRecipient, "", hintDomain | hintGone, another &^ (hintLater | hintFault | hintNet)},
	{Content, ScopeMessage, "", hintSize | hintLimit, 0},
	{Rate, ScopeSite, "4xx", hintLimit, 0},
	{Policy, ScopeSender, "5xx", hintSender | hintNet, 0},
	{Network, ScopeSite, "", hintNet, 0},
	{Content, ScopeMessage, "", hintContent, 0},
	{Policy, ScopeRecipient, "", hintRecipient | hintBlock, 0},
	{Content, ScopeMessage, AtDot, hintMessage | hintBlock, 0},
	{Policy, ScopeUnknown, "5xx", hintBlock, 0},
	{Other, ScopeUnknown, "", hintFault, 0},
	{Other, ScopeRecipient, "2.0", hintLater, 0},
	{Other, ScopeRecipient, "2.1", hintLater, 0},
	{Other, ScopeUnknown, "4xx", hintLater | hintRecipient, 0},
	{Other, ScopeUnknown, "4xx", hintLater | hintMessage, 0},
	{Rate, ScopeSite, "4xx", hintLater, 0},
	{Other, ScopeUnknown, "5xx", hintError, 0},
}

// hintWords are written as normalise leaves them, with at least hintKeyLen bytes. They match from the beginning of a word, so
// that a stem finds the word's other forms too.
//
// To add one, ask whether the word means the same in every reply: a reply that says no more than "mailbox" and the new word
// is condemned if the word is one of hintGone. A word that means something only beside others belongs into a rule. A word that
// shows that a reply is not about the recipient, however rare, is worth adding: it saves living readers.
var hintWords = []struct {
	hint  hint
	words string // separated by "|"
}{
	{hintRecipient, "user|recipient|mailbox|mail box|account|address|addressee|alias|inbox|rcpt|local part|username|" +
		"member|mailaddress|mailadress|emailaddress|subscriber|person|customer|mail name|email name|e mail name|" +
		"utilisateur|destinataire|boite |compte |adresse|benutzer|empfanger|empfaenger|postfach|konto|adressat|" +
		"usuario|destinatario|buzon|cuenta|casilla|direccion|caixa|conta |endereco|utente|casella|indirizzo|" +
		"skrzynk|odbiorc|uzytkownik|adres |adresu|uzivatel|schrank|gebruiker|ontvanger|postbus|mottagare|bruker|" +
		"пользовател|получател|адресат|ящик|адрес|用户|收件人|邮箱|帐号|账号|账户|ユーザ|宛先|メールボックス"},
	{hintGone, "unknown|invalid|nonexist|non exist|not exist|doesnt exist|doesn t exist|dosnt exist|dont exist|" +
		"didnt exist|" +
		"does not have|doesnt have|not have a|not found|couldnt be found|couldn t be found|cant be found|cannot be found|" +
		"not be found|cant find|cannot find|could not find|no such|not known|is not a |isnt a|undeliverable|unroutable|" +
		"unrouteable|unresolvable|disabled|inactive|inactivat|deactivat|not active|not activated|not valid|" +
		"isnt valid|no longer|" +
		"suspend|closed|terminat|expired|frozen|archived|discontinu|cancel|deleted|removed|not present|" +
		"not a valid|not recogn|not a recogn|unrecogn|unable to find|unable to locate|never logged|" +
		"hasnt entered|does not receive|doesnt receive|not listed|not our|not local|not ok|not used|" +
		"not in use|wrong|illegal|obsolete|" +
		"retired|left the|has left|not configured|not registered|not allocated|not set up|nobody|no one by|" +
		"bad recipient|bad destination|doesnt work here|no account|no mailbox|no mail box|no user|" +
		"no recipient|decommission|" +
		"moved|unavailable user|" +
		"inconnu|inexist|nexiste|existe pas|desactiv|unbekannt|existiert|nicht gefunden|nicht bekannt|" +
		"nicht vorhanden|nicht mehr|niemand|not one of our|cannot receive|unable to receive|have no mail|" +
		"has no mail|deaktiv|gesperrt|ungultig|ungueltig|" +
		"desconocid|desconhecid|no existe|nao existe|invalido|inactivo|inativ|inattiv|inaktiv|desativ|" +
		"expirado|suspendid|sconosciut|disattiv|" +
		"non esiste|sospes|nie istnieje|nieznan|zablokowan|nieaktywn|neexist|neznam|neplatn|onbekend|bestaat niet|" +
		"finns inte|okand|не существ|не найден|неизвест|заблокирован|несуществ|不存在|停用|禁用|无此|找不到|存在しない|不明"},
	{hintFull, "full |quota|overquota|storage|disk space|diskspace|enough space|no space|space not|space has|" +
		"of space|mailbox space|space quota|space available|overflow|capacity|overdrawn|disk usage|voll |" +
		"uberfullt|ubervoll|speicher|kapazitat|kapazitaet|erschopft|erschoepft|" +
		"plein|rempli|lleno|llena|llenado|cuota|piena|pieno|esaurit|cheia|cheio|lotad|przepeln|pelna|pelny|preplnen|" +
		"переполн|满了|已满|容量|超过|いっぱい"},
	{hintSender, "sender|sending|originat|envelope|your domain|your address|your account|your mailbox|" +
		"your email account|your email address|" +
		"mail from|mailfrom|from address|from domain|reply to|return path|callout|callback|backscatter|batv|" +
		"you are not|you dont|you do not|outgoing|outbound|submission|expedit|emetteur|absender|" +
		"remitente|remetente|mittente|nadawc|odosielat|odesilat|отправител|发件|发信"},
	{hintHost, "your ip|your server|your host|your network|your mta|your mail server|from ip|client|connecting|" +
		"hostname|helo|ehlo|" +
		"ip address|from your|this ip|that ip|the ip|dynamic|botnet|sending ip|source ip|remote ip|ip range"},
	{hintDomain, "domain|host |dominio|domaine|домен|域名"},
	{hintMessage, "message|mail|email|e mail|letter|nachricht|mensaje|mensagem|messaggio|wiadomosc|сообщени|письмо|邮件"},
	{hintContent, "content|attachment|header|field|subject|format|mime|html|url|link|charset|character|encod|malform|" +
		"compliant|conform|comply|" +
		"binary|7bit|8bit|base64|contain|message body|archive file|extension|executable|rfc 5322|rfc 2822|" +
		"rfc 822|multipart|invalid data|keyword|phrase"},
	{hintSize, "size|large|too big|bytes|octets|taille|tamano|dimension|grosse|groesse|rozmiar|размер"},
	{hintSpam, "spam|junk|bulk|unsolicited|ube |uce |unwanted|phish|virus|malware|scored|suspicious|infected|" +
		"werbung|pourriel|" +
		"spamtrap|trojan|worm |antispam|fraud|scam|антиспам|спам|垃圾"},
	{hintListed, "blacklist|blocklist|black list|block list|denylist|deny list|rbl|dnsbl|listed|reputation|bad ip|" +
		"blackhole|spamhaus|" +
		"spamcop|sorbs|barracuda|abuse|abusive|listing|black hole"},
	{hintBlock, "block|banned|denied|deny|denies|reject|refus|prohib|forbid|not allowed|not permit|not accept|" +
		"not currently accept|not authori|unauthori|disallow|" +
		"declin|wont accept|wont want|dont want|not want|rule |rules |restrict|permission|permit|no access|" +
		"access rule|policy|policies|filter|bloque|abgelehnt|abgewiesen|rejete|rechaz|rifiut|" +
		"odrzuc|отклон|отказ|запрещ|拒绝|拒收|nicht erlaubt|go away|bounced"},
	{hintOften, "too many|too much|excessive|rate limit|ratelimit|frequen|too often|throttl|busy|overload|concurr|" +
		"too fast|too quick|" +
		"slow down|slower|volume|flood|threshold|per hour|per minute|per day|hourly|burst|congest"},
	{hintLimit, "rate|limit|slow|quick|fast|resources|connections|sessions|daily|traffic|heavy load|maximum|" +
		"allowance|exceed|exeed|exced"},
	{hintLater, "later|again|retry|retries|temporar|defer|moment|wait|delayed|essayer plus tard|spater|spaeter|" +
		"mas tarde|tarde|piu tardi|" +
		"pozniej|позже|稍后|currently|tempor|intentelo|transient|in progress|shortly|at this time|at the moment"},
	{hintRelay, "relay|gateway|gatewaying|rcpthosts|not local host|local host|open system"},
	{hintAuth, "spf|dkim|dmarc|auth|reverse|rdns|ptr |password|login|log in|logged in|credential|dns check|forged|" +
		"forgery|sasl|" +
		"signed|signature"},
	{hintTLS, "tls|starttls|ssl|encrypt|certificate|dane|tlsa|dnssec"},
	{hintNet, "timeout|timed out|time out|network|no route|route|unreachable|not reach|reached|respond|reset by|" +
		"dropped|lookup|lookups|" +
		"dns|name server|nameserver|mx record|mx list|mxs|usable mx|socket|delivery time|delivery expired|message expired|" +
		"queue time|hop|loop|peer"},
	{hintError, "error|command|syntax|service|process"},
	{hintFault, "unknown address error|internal|config|system|problem|failure|sequence|protocol|disk |database|ldap|" +
		"lock file|resource|" +
		"memory|write|read error|exception|unexpected"},
}

// hintKeyLen is how much of a word a hint is found by.
const hintKeyLen = 3

type hintEntry struct {
	word string
	hint hint
}

var hintIndex = sync.OnceValue(func() map[[hintKeyLen]byte][]hintEntry {
	x := make(map[[hintKeyLen]byte][]hintEntry)
	for _, h := range hintWords {
		for word := range strings.SplitSeq(h.words, "|") {
			k := [hintKeyLen]byte([]byte(word[:hintKeyLen]))
			x[k] = append(x[k], hintEntry{word, h.hint})
		}
	}
	return x
})

// hints gathers what the words of q speak of. An address stands for the recipient, once there is one.
func (q *question) hints() hint {
	text, x := q.text, hintIndex()
	var all hint
	if q.address && q.aboutRecipient() {
		all = hintRecipient
	}
	for i := 0; i+hintKeyLen <= len(text); i++ {
		if !startsWord(text, i) {
			continue
		}
		for _, e := range x[[hintKeyLen]byte([]byte(text[i:i+hintKeyLen]))] {
			if strings.HasPrefix(text[i:], e.word) {
				all |= e.hint
			}
		}
	}
	return all
}

// add returns the first sum of table that fits q, or nil.
func (q *question) add(table []sum, found hint) *sum {
	for i := range table {
		s := &table[i]
		if found&s.all == s.all && found&s.none == 0 && q.holds(s.when) {
			return s
		}
	}
	return nil
}
