// Package brake stops a campaign at a provider that refuses its sender, before the whole list is burnt: each recipient who is refused
// bounces, and a list manager takes him for lost although nothing is wrong with his mailbox.
//
// Watch counts, for each campaign and provider, what receivers answer. Two kinds of answers count: the message was taken, or it was
// refused for good because of who sends (smtp.Verdict.OfSender: SPF, DKIM, DMARC, or the sender's reputation). When Config.After of the
// latest answers are refusals, and more than half of the latest 2 × After, the campaign is stopped there. All other mail goes on.
//
// # How a stop is made
//
//	Event     the answer that decides; from now on Holds keeps the campaign's mail from being sent to the provider
//	Run       gives the order of a pause (relay.Lever), which is durable and which an admin ends
//	          once it is in force, Watch forgets the answers: after the pause the count begins anew
//
// The recipients refused before stay bounced. What was under way when the stop was decided is answered later: a recipient of it who
// is refused for the same reason waits with the rest (Spares). So a campaign loses Config.After recipients at a provider, and a few
// more if several connections hear their refusals in the same moment. The count is in memory alone: after a restart in the middle of
// it the provider is asked Config.After times more.
//
// # What it costs
//
// While nobody refuses a sender, an event costs one read of a counter; then the look-up of its campaign, and if that is counted, of the
// provider of its site. Watch remembers a bounded number of campaigns, those that were refused last.
package brake
