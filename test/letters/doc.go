// Package letters makes the messages of campaigns, as widespread mailers make them: the same message to each reader, with what
// mailers personalise. Each is about 20 KB, begins with our own Received field, has CRLF lines and is a pure function of its
// shape and the reader's number, so that every process of a test can make the same ones.
//
//	for _, s := range letters.Shapes(15) { // fifteen personal links in each message
//		message := s.Message(4711)
//	}
//
// What a splitter stumbles over is as in life: soft breaks and base64 lines shift behind a name of another length,
// boundaries are new with each message, a signature cannot be foreseen, and one mailer writes its header in any order.
package letters
