package pool

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/millrace/millrace/relay/smtp"
)

// replyError gives an error its key.
func replyError(index int, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("reply[%d]%s: %w", index, key, err)
}

// compileReply makes one rule ready. Its errors begin with their key.
func compileReply(r ReplyRule, index int) (c replyRule, err error) {
	var errs []error
	at := func(key string, err error) { errs = append(errs, replyError(index, key, err)) }
	at(".name", checkName(r.Name))
	at("", r.checkWhole())
	at(".match", c.setMatch(r.Match))
	code, ok := parseReplyCode(r.Code)
	if !ok {
		at(".code", fmt.Errorf(`%q is the code of no refusal; write it like "421", "4xx", "4.7.28" or "4.7.x"`, r.Code))
	}
	at(".class", c.setClass(r.Class))
	at(".provider", checkProvider(r.Provider))
	for _, n := range []number{{"window", r.Window}, {"messages_per_connection", r.MessagesPerConnection}} {
		if n.value < 0 {
			at("."+n.key, fmt.Errorf("%d is less than 1", n.value))
		}
	}
	if r.For < 0 {
		at(".for", fmt.Errorf("%s is not a positive duration", r.For))
	}
	scope := slices.Index(replyScopeNames[:], cmp.Or(r.Scope, replyScopeNames[ReplySource]))
	switch {
	case scope < 0:
		at(".scope", fmt.Errorf(`%q is no scope; use "source", "site" or "sender"`, r.Scope))
	case ReplyScope(scope) == ReplySender && !r.Suspend:
		at(".scope", errors.New("the mail of one sender can only be suspended; give suspend = true alone, or another scope"))
	}
	c.provider, c.site, c.code = r.Provider, r.Site, code
	c.action = ReplyAction{
		Rule: r.name(index), Window: r.Window, Rate: r.Rate, MessagesPerConnection: r.MessagesPerConnection,
		Suspend: r.Suspend, For: cmp.Or(r.For, DefaultReplyFor), Scope: ReplyScope(max(scope, 0)),
	}
	return c, errors.Join(errs...)
}

// name is how log and status call the rule.
func (r ReplyRule) name(index int) string {
	return cmp.Or(r.Name, r.Code, r.Class, fmt.Sprintf("reply-%d", index+1))
}

// checkWhole finds a rule that would match every refusal, and one that demands nothing.
func (r ReplyRule) checkWhole() error {
	switch {
	case r.Match == "" && r.Code == "" && r.Class == "":
		return errors.New("the rule would match every refusal; give match, code or class")
	case r.Window == 0 && r.Rate == ReplyRate{} && r.MessagesPerConnection == 0 && !r.Suspend:
		return errors.New("the rule demands nothing; give window, rate, messages_per_connection or suspend")
	case r.Suspend && (r.Window != 0 || r.Rate != ReplyRate{} || r.MessagesPerConnection != 0):
		return errors.New("the rule suspends, so what else it gives never holds; give suspend alone, or leave it out")
	}
	return nil
}

// setMatch compiles the regular expression and finds what is literal in it.
func (c *replyRule) setMatch(match string) (err error) {
	if match == "" {
		return nil
	}
	if inner, ok := strings.CutPrefix(match, "/"); ok && (strings.HasSuffix(inner, "/") || strings.HasSuffix(inner, "/i")) {
		return fmt.Errorf("%q has the slashes of Perl, which would be looked for; write it without them. Case never matters", match)
	}
	tree, err := syntax.Parse(match, syntax.Perl|syntax.FoldCase)
	if err == nil {
		c.re, err = regexp.Compile("(?i:" + match + ")")
	}
	if err != nil {
		return fmt.Errorf("%w; the syntax is RE2, see https://golang.org/s/re2syntax", err)
	}
	if c.re.MatchString("") {
		return fmt.Errorf("%q matches every reply; write what it must contain", match)
	}
	for _, l := range required(tree) {
		c.literals = append(c.literals, []byte(l))
	}
	return nil
}

// setClass finds the class of that name; "" is any.
func (c *replyRule) setClass(name string) error {
	if name == "" {
		return nil
	}
	var known []string
	for _, class := range smtp.Classes() {
		if class.String() == name {
			c.class, c.byClass = class, true
			return nil
		}
		known = append(known, class.String())
	}
	return fmt.Errorf("%q is no class of replies; use one of %s", name, strings.Join(known, ", "))
}
