package pool

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/millrace/millrace/relay"
	"github.com/millrace/millrace/relay/smtp"
)

// refusedWith makes an Error of a reply as it stands in a log: "421 4.7.28 text", its lines parted by "|".
func refusedWith(text string) *smtp.Error {
	e := &smtp.Error{Command: smtp.AtDot}
	code, rest, _ := strings.Cut(text, " ")
	fmt.Sscan(code, &e.Code)
	e.Permanent = e.Code >= 500
	if word, words, _ := strings.Cut(rest, " "); strings.Count(word, ".") == 2 && strings.Trim(word, "0123456789.") == "" {
		e.Enhanced, rest = word, words
	}
	e.Lines = strings.Split(rest, "|")
	return e
}

func repliesOf(t testing.TB, rules ...ReplyRule) *Replies {
	t.Helper()
	r, err := CompileReplies(rules)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestProviderReplies: replies of the large providers as they stand in logs, and their neighbours that say something else.
func TestProviderReplies(t *testing.T) {
	r := repliesOf(t)
	for _, test := range []struct{ provider, reply, want string }{
		{"gmail", "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail|originating from your IP address. To protect our users from spam,|mail sent from your IP address has been temporarily rate limited.", "gmail-rate 50% 10m0s source"},
		{"gmail", "421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.", "gmail-rate 50% 10m0s source"},
		{"gmail", "421 4.7.28 Gmail has detected an unusual rate of email originating from your SPF domain. To protect our users from spam, email sent from your domain has been temporarily rate limited.", "gmail-sender suspend 10m0s sender"},
		{"gmail", "421 4.7.28 Gmail has detected an unusual rate of email originating from|your DKIM domain [example.com]. To protect our users", "gmail-sender suspend 10m0s sender"},
		{"gmail", "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail containing one of your URL domains. To protect our users", "gmail-sender suspend 10m0s sender"},
		{"gmail", "421 4.7.28 Gmail has detected this message exceeded its quota for sending messages with the same Message-ID:. To best protect our users, the message has been temporarily rejected.", ""},
		{"gmail", "450 4.2.1 The user you are trying to contact is receiving mail at a rate that prevents additional messages", ""},
		{"gmail", "550 5.1.1 The email account that you tried to reach does not exist.", ""},
		{"", "421 4.7.28 Gmail has detected an unusual rate of unsolicited mail originating from your IP address", ""},
		{"yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints - 4.16.55.1; see https://postmaster.yahooinc.com/error-codes", "yahoo-deferred suspend 10m0s source"},
		{"yahoo", "421 4.7.0 [TS01] Messages from 192.0.2.1 temporarily deferred due to user complaints - 4.16.55.1", "yahoo-deferred suspend 10m0s source"},
		{"yahoo", "421 4.7.1 [TS03] All messages from 192.0.2.1 will be permanently deferred; Retrying will NOT succeed.", "yahoo-blocked suspend 1h0m0s source"},
		{"yahoo", "421 Max message per connection reached, closing transmission channel", ""},
		{"yahoo", "554 5.7.9 Message not accepted for policy reasons.", ""},
		{"microsoft", "451 4.7.650 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. For e-mail delivery information, see https://postmaster.live.com (S775)", "microsoft-reputation 50% 10m0s source"},
		{"microsoft365", "451 4.7.651 The mail server [192.0.2.1] has been temporarily rate limited due to IP reputation. (S779)", "microsoft-reputation 50% 10m0s source"},
		{"microsoft365", "451 4.7.500 Server busy. Please try again later from [192.0.2.1]. (AS77712) [BN7NAM10FT047.eop-nam10.prod.protection.outlook.com]", "microsoft-busy 50% 10m0s source"},
		{"microsoft", "451 4.7.652 The mail server [192.0.2.1] has exceeded the maximum number of connections.", ""},
		{"microsoft", "421 RP-001 (BAY004-MC1F1) Unfortunately, some messages from 192.0.2.1 weren't sent. Please try again.", "outlook-rate 50% 10m0s source"},
		{"microsoft", "421 RP-003 The mail server IP connecting to Outlook.com server has exceeded the connection limit allowed on this session.", ""},
		{"comcast", "421 4.1.0 192.0.2.1 Throttled - try again later. Please see http://postmaster.comcast.net/smtp-error-codes.php#RL000003", "comcast-rate 50% 10m0s source"},
		{"comcast", "451 4.2.0 Throttled - https://postmaster.comcast.net/smtp-error-codes.php#RL000010", "comcast-rate 50% 10m0s source"},
		{"comcast", "554 Your access to this mail system has been rejected, see #BL000001", ""},
		{"orange", "421 mwinf5c04 ME Trop de connexions, veuillez verifier votre configuration. Too many connections, slow down. OFR004_104 [104]", "orange-connections window=1 10m0s source"},
		{"orange", "421 mwinf5c77 ME Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR_999 [999]", "orange-refused window=1 50% 30m0s source"},
		{"orange", "421 4.2.0 Service refuse. Veuillez essayer plus tard. Service refused, please try later. OFR005_505 [505]", "orange-refused window=1 50% 30m0s source"},
		{"orange", "550 5.1.1 Adresse d au moins un destinataire invalide. Invalid recipient. OFR204_418 [418]", ""},
		{"laposte", "450 4.7.1 <mail.example.org[192.0.2.1]>: Client host rejected: Service refuse. Veuillez essayer plus tard. service refused, please try later. LPN027_503", "laposte-refused window=1 50% 30m0s source"},
		{"gmx", "421 web.de (mxweb113) Nemesis ESMTP Service not available|Service unavailable|Reject due to policy restrictions|Please try again later. Too many messages have been received in a short period of time.", "gmx-rate window=1 50% 1h0m0s source"},
		{"gmx", "421 Rate limit reached. Please try again later. For explanation visit https://postmaster.gmx.net/en/error-messages", "gmx-rate window=1 50% 1h0m0s source"},
		{"gmx", "554 gmx.net (mxgmx104) Nemesis ESMTP Service not available|No SMTP service|IP address is block listed.", ""},
		{"mailru", "451 Try again later: too many messages from this IP", "mailru-rate 50% 10m0s source"},
		{"netease", "421 HL:ICC 163 mx12 too many concurrent connections", "netease-connections window=1 10m0s source"},
		{"netease", "421 HL:IFC 163 mx28 http://mail.163.com/help/help_spam_16.htm?ip=192.0.2.1", "netease-rate 50% 10m0s source"},
		{"netease", "451 MI:DMC 163 mx1 too many messages", "netease-session msgs=10 24h0m0s source"},
		{"netease", "451 MI:SFQ 163 smtp10 http://mail.163.com/help/help_spam_16.htm", "netease-sender suspend 15m0s sender"},
		{"qq", "550 Ip frequency limited [V2VkIEFwciAgMyA=]. http://service.mail.qq.com/cgi-bin/help?subtype=1&&id=20022&&no=1000725", "qq-rate suspend 10m0s source"},
		{"qq", "550 Domain frequency limited. http://service.mail.qq.com/cgi-bin/help", "qq-sender suspend 10m0s sender"},
	} {
		got := ""
		if a, ok := r.Match(refusedWith(test.reply), test.provider, ""); ok {
			got = demands(a)
		}
		if got != test.want {
			t.Errorf("%s: %s:\n got %q\nwant %q", test.provider, test.reply, got, test.want)
		}
	}
}

// demands is an action in a few words.
func demands(a ReplyAction) string {
	words := []string{a.Rule}
	if a.Window > 0 {
		words = append(words, fmt.Sprint("window=", a.Window))
	}
	switch {
	case a.Rate.Share > 0:
		words = append(words, fmt.Sprintf("%.0f%%", a.Rate.Share*100))
	case a.Rate.Rate > 0:
		words = append(words, a.Rate.Rate.String())
	}
	if a.MessagesPerConnection > 0 {
		words = append(words, fmt.Sprint("msgs=", a.MessagesPerConnection))
	}
	if a.Suspend {
		words = append(words, "suspend")
	}
	return strings.Join(append(words, a.For.String(), a.Scope.String()), " ")
}

// TestReplyConditions: each condition alone and with others; the first rule wins, and a rule of the file before the table.
func TestReplyConditions(t *testing.T) {
	const tss = "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume"
	for _, test := range []struct {
		name                  string
		rule                  ReplyRule
		reply, provider, site string
		want                  bool
	}{
		{"match", ReplyRule{Match: "too fast"}, "450 You are TOO FAST", "", "", true},
		{"match over lines", ReplyRule{Match: "too fast"}, "450 you are too|fast", "", "", true},
		{"match with the code", ReplyRule{Match: `^450 4\.7\.1 you`}, "450 4.7.1 You are", "", "", true},
		{"match in its own case only", ReplyRule{Match: "(?-i:FAST)"}, "450 too FAST", "", "", true},
		{"the other case", ReplyRule{Match: "(?-i:FAST)"}, "450 too fast", "", "", false},
		{"the sign of Kelvin", ReplyRule{Match: "kelvin"}, "450 in \u212aelvin", "", "", true},
		{"match without anything literal", ReplyRule{Match: `\d+ seconds?|\d+ hours?`}, "450 wait 10 hours", "", "", true},
		{"no match", ReplyRule{Match: "too fast"}, "450 you are too slow", "", "", false},
		{"code", ReplyRule{Code: "421"}, "421 x", "", "", true},
		{"another code", ReplyRule{Code: "421"}, "451 x", "", "", false},
		{"code group", ReplyRule{Code: "4xx"}, "451 x", "", "", true},
		{"capital letters", ReplyRule{Code: "5XX"}, "550 x", "", "", true},
		{"another group", ReplyRule{Code: "4xx"}, "550 x", "", "", false},
		{"status", ReplyRule{Code: "4.7.28"}, "421 4.7.28 x", "", "", true},
		{"longer status", ReplyRule{Code: "4.7.2"}, "421 4.7.28 x", "", "", false},
		{"status group", ReplyRule{Code: "4.7.x"}, "421 4.7.28 x", "", "", true},
		{"another status group", ReplyRule{Code: "4.7.x"}, "421 4.2.28 x", "", "", false},
		{"class", ReplyRule{Class: "greylisting"}, "450 4.7.1 Greylisted, try again in 5 minutes", "", "", true},
		{"another class", ReplyRule{Class: "rate"}, "450 4.7.1 Greylisted, try again in 5 minutes", "", "", false},
		{"class and code", ReplyRule{Class: "greylisting", Code: "451"}, "450 4.7.1 Greylisted, try again in 5 minutes", "", "", false},
		{"provider", ReplyRule{Code: "4xx", Provider: "qq"}, "450 x", "qq", "", true},
		{"another provider", ReplyRule{Code: "4xx", Provider: "qq"}, "450 x", "", "", false},
		{"site", ReplyRule{Code: "4xx", Site: "s"}, "450 x", "", "s", true},
		{"another site", ReplyRule{Code: "4xx", Site: "s"}, "450 x", "", "", false},
		{"before the table", ReplyRule{Match: "TSS04"}, tss, "yahoo", "", true},
	} {
		test.rule.Window, test.rule.Name = 1, "mine"
		last := ReplyRule{Name: "last", Match: ".", Window: 9}
		a, ok := repliesOf(t, test.rule, last).Match(refusedWith(test.reply), test.provider, test.site)
		if want := map[bool]string{true: "mine", false: "last"}[test.want]; !ok || a.Rule != want {
			t.Errorf("%s: %+v, want %s", test.name, a, want)
		}
	}
}

// TestOwnFailuresNeverMatch: nothing but a refusal by the peer counts. A rule that matches everything is given them all.
func TestOwnFailuresNeverMatch(t *testing.T) {
	r := repliesOf(t, ReplyRule{Match: ".", Suspend: true}, ReplyRule{Class: "network", Suspend: true})
	suspended := refusedWith("421 4.7.0 the site is suspended by rule 421")
	suspended.Local = true
	for name, e := range map[string]*smtp.Error{
		"none":              nil,
		"our own refusal":   suspended,
		"a lost connection": {Command: smtp.AtDot, Enhanced: "4.4.2", Err: errors.New("lost connection")},
		"a success":         refusedWith("250 2.0.0 taken"),
		"an odd code":       refusedWith("354 go on"),
		"no code at all":    refusedWith("999 what"),
	} {
		if a, ok := r.Match(e, "gmail", "x"); ok {
			t.Errorf("%s: %+v", name, a)
		}
	}
	suspended.Local = false
	if _, ok := r.Match(suspended, "", ""); !ok {
		t.Error("the same words by the peer do not match")
	}
}

// ordinary are refusals that no rule of the table is about.
var ordinary = []string{
	"550 5.1.1 <someone@example.org>: Recipient address rejected: User unknown in virtual mailbox table",
	"450 4.7.1 <someone@example.org>: Recipient address rejected: Greylisted, see http://postgrey.example/help",
	"552 5.2.2 The email account that you tried to reach is over quota.|Please direct the recipient to https://support.example.com/mail/?p=OverQuotaPerm",
	"554 5.7.1 Service unavailable; Client host [192.0.2.1] blocked using zen.example; https://www.example/query/ip/192.0.2.1",
	"421 4.4.2 mx.example.com Error: timeout exceeded",
}

// TestNoRegexpForOrdinaryReplies: all regular expressions are replaced by one that matches everything, and still nothing matches.
func TestNoRegexpForOrdinaryReplies(t *testing.T) {
	r := repliesOf(t, ReplyRule{Match: `slow (down|please)|please wait \d+`, Window: 1}, ReplyRule{Match: `(?:try (?:it )?again) in \d+ minutes`, Code: "421", Suspend: true})
	for i := range r.rules {
		if r.rules[i].re == nil || len(r.rules[i].literals) == 0 {
			t.Errorf("rule %s: nothing literal is known of %v", r.rules[i].action.Rule, r.rules[i].re)
		}
		r.rules[i].re = regexp.MustCompile("")
	}
	for _, text := range ordinary {
		for _, p := range append([]provider{{}}, providers...) {
			if a, ok := r.Match(refusedWith(text), p.name, ""); ok {
				t.Errorf("%s: %s: the regular expression of rule %s is run", p.name, text, a.Rule)
			}
		}
	}
	e := refusedWith(ordinary[0])
	if n := testing.AllocsPerRun(100, func() { r.Match(e, "gmail", "") }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBadReplies(t *testing.T) {
	ok := ReplyRule{Match: "slow down", Window: 1}
	with := func(change func(*ReplyRule)) ReplyRule {
		r := ok
		change(&r)
		return r
	}
	for _, test := range []struct {
		name string
		rule ReplyRule
		want string
	}{
		{"no condition", ReplyRule{Window: 1, Provider: "gmail"}, "reply[1]: the rule would match every refusal; give match, code or class"},
		{"no demand", ReplyRule{Match: "x"}, "reply[1]: the rule demands nothing"},
		{"suspends and more", with(func(r *ReplyRule) { r.Suspend = true }), "reply[1]: the rule suspends, so what else it gives never holds"},
		{"a sender's rate", with(func(r *ReplyRule) { r.Scope = "sender" }), "reply[1].scope: the mail of one sender can only be suspended; give suspend = true alone"},
		{"regular expression", with(func(r *ReplyRule) { r.Match = "(" }), "reply[1].match: error parsing regexp: missing closing ): `(`; the syntax is RE2"},
		{"look-ahead", with(func(r *ReplyRule) { r.Match = "(?=x)" }), "reply[1].match: error parsing regexp"},
		{"empty match", with(func(r *ReplyRule) { r.Match = "x*" }), `reply[1].match: "x*" matches every reply`},
		{"Perl", with(func(r *ReplyRule) { r.Match = "/slow/i" }), "has the slashes of Perl"},
		{"code", with(func(r *ReplyRule) { r.Code = "250" }), `reply[1].code: "250" is the code of no refusal`},
		{"code group", with(func(r *ReplyRule) { r.Code = "2xx" }), `reply[1].code: "2xx"`},
		{"status", with(func(r *ReplyRule) { r.Code = "4.7" }), `reply[1].code: "4.7"`},
		{"status with a star", with(func(r *ReplyRule) { r.Code = "4.7.*" }), `reply[1].code: "4.7.*"`},
		{"class", with(func(r *ReplyRule) { r.Class = "ratelimit" }), `reply[1].class: "ratelimit" is no class of replies; use one of other, greylisting, rate,`},
		{"provider", with(func(r *ReplyRule) { r.Provider = "google" }), `reply[1].provider: "google" is not in the table of providers`},
		{"scope", with(func(r *ReplyRule) { r.Scope = "ip" }), `reply[1].scope: "ip" is no scope; use "source", "site" or "sender"`},
		{"window", with(func(r *ReplyRule) { r.Window = -1 }), "reply[1].window: -1 is less than 1"},
		{"for", with(func(r *ReplyRule) { r.For = -time.Second }), "reply[1].for: -1s is not a positive duration"},
		{"name", with(func(r *ReplyRule) { r.Name = "a b" }), `reply[1].name: "a b"`},
		{"name twice", with(func(r *ReplyRule) { r.Name = "first" }), `reply[1].name: "first" is the name of a rule above`},
	} {
		_, err := CompileReplies([]ReplyRule{{Name: "first", Match: "x", Window: 1}, test.rule})
		if err == nil || !strings.HasPrefix(err.Error(), test.want) && !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want %s", test.name, err, test.want)
		}
	}
}

func TestReplyRate(t *testing.T) {
	for text, want := range map[string]relay.MessageRate{
		"50%": 10, "1%": 0.2, "99%": 19.8, "10/s": 10, "60/m": 1,
		"": 0, "0%": 0, "100%": 0, "-5%": 0, "5.5%": 0, "%": 0, "half": 0, "50": 0,
	} {
		var r ReplyRate
		err := r.UnmarshalText([]byte(text))
		if got := r.Of(20); got != want || (err == nil) != (want > 0) {
			t.Errorf("%q of 20/s is %v, %v", text, got, err)
		}
	}
}

// FuzzReplyLiterals: what is found to be literal in a regular expression never hides a text that the expression matches.
func FuzzReplyLiterals(f *testing.F) {
	for _, r := range providerReplies {
		f.Add(r.Match, "421 4.7.0 [TSS04] Messages deferred: too many messages from this IP, RP-001 ")
	}
	f.Add(`(?i)(foo|fob)+a{2,3}|bar(?:baz)?`, "FOOAAA barBAZ")
	f.Add(`k[^a]?s`, "\u212a\u017f")
	f.Add(`(abc)?d`, "d")
	f.Add(`(?-i:ABC)\Q.*\E`, "ABC.*")
	f.Fuzz(func(t *testing.T, match, text string) {
		var c replyRule
		if c.setMatch(match) != nil || c.re == nil {
			return
		}
		e := &smtp.Error{Code: 450, Lines: strings.Split(text, "\n")}
		whole := appendReply(nil, e)
		if c.re.Match(whole) && !c.mayMatch(lowerASCII(whole)) {
			t.Errorf("%q matches %q and is kept from it by %q", match, text, c.literals)
		}
	})
}

// FuzzReplyCode: a code that is read is a refusal's.
func FuzzReplyCode(f *testing.F) {
	for _, s := range []string{"421", "4xx", "4.7.28", "4.7.x", "2xx", "4.x.x", "٤٢١", "+42"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseReplyCode(text)
		if ok && text != "" && c.status == "" && (c.from < 400 || c.to > 599 || c.from > c.to) {
			t.Errorf("%q is %+v", text, c)
		}
		if ok && c.status != "" && c.status[0] != '4' && c.status[0] != '5' {
			t.Errorf("%q is %+v", text, c)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	r := repliesOf(b, ReplyRule{Match: `slow (down|please)`, Window: 1})
	for _, test := range []struct{ name, provider, text string }{
		{"unmatched", "", ordinary[0]}, {"unmatched-gmail", "gmail", ordinary[2]},
		{"matched-yahoo", "yahoo", "421 4.7.0 [TSS04] Messages from 192.0.2.1 temporarily deferred due to unexpected volume or user complaints"},
	} {
		e := refusedWith(test.text)
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				r.Match(e, test.provider, "")
			}
		})
	}
}
