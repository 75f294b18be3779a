package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay/delta"
)

// split says how a message is divided against another one.
type split struct {
	File     string  `json:"file"`
	Bytes    int     `json:"bytes"`
	Personal int     `json:"personal"` // bytes of its own part
	Shared   float64 `json:"shared"`   // part of the message that is not its own, 0 to 1
	Whole    bool    `json:"whole"`    // it has too little in common: it would be a wrapper of its own
}

func explainCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "explain FILE FILE...",
		Short: "Show what messages in files have in common",
		Long: `Divide each message after the first against the first, as the daemon does with messages of one campaign, and show how many bytes it
shares and how many are its own. Each file has one message, with its header; lines may end in LF alone. No daemon is needed.`,
		Example: "  millrace explain first.eml second.eml",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, files []string) error {
			var s delta.Scratch
			first, err := readMessage(files[0])
			if err != nil {
				return err
			}
			s.Read(first)
			view, _ := s.View()
			reference := delta.NewReference(view)
			for _, file := range files[1:] {
				message, err := readMessage(file)
				if err != nil {
					return err
				}
				if err := explain(cmd.OutOrStdout(), reference, &s, file, message, asJSON); err != nil {
					return err
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print one JSON object for each message")
	return cmd
}

// explain divides one message and writes what comes of it.
func explain(w io.Writer, r *delta.Reference, s *delta.Scratch, file string, message []byte, asJSON bool) error {
	s.Read(message)
	v := split{File: file, Bytes: len(message)}
	part, ok := r.Split(s, len(message)-len(message)/4)
	if v.Personal, v.Whole = len(part), !ok; !ok {
		v.Personal = len(message)
	}
	v.Shared = 1 - float64(v.Personal)/float64(max(v.Bytes, 1))
	if asJSON {
		return json.NewEncoder(w).Encode(v)
	}
	if v.Whole {
		_, err := fmt.Fprintf(w, "%s: %s bytes; it has too little in common with the first, and would be held whole\n", clean(file), grouped(v.Bytes))
		return err
	}
	_, err := fmt.Fprintf(w, "%s: %s bytes, of which %.1f %% are held once; %s bytes are its own\n", clean(file), grouped(v.Bytes), 100*v.Shared, grouped(v.Personal))
	return err
}

// readMessage reads a file, with CRLF at the end of each line.
func readMessage(file string) ([]byte, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return bytes.ReplaceAll(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n")), nil
}
