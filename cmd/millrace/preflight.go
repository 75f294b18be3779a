package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/filter/preflight"
)

// errFaults is returned when a message has faults. They are printed already.
var errFaults = errors.New("receivers may refuse or distrust this: see above")

// maxLetter bounds the message that is read, in bytes.
const maxLetter = 256 << 20

// examined is what was found in one file.
type examined struct {
	File   string            `json:"file"`
	Faults []preflight.Fault `json:"faults"`
}

func preflightCommand() *cobra.Command {
	var asJSON, urgent, utf8 bool
	cmd := &cobra.Command{
		Use:   "preflight FILE...",
		Short: "Find in messages what receivers of bulk mail refuse or distrust",
		Long: `Examine messages in files, as the daemon examines the first message of each campaign: DKIM signature and its alignment with From,
unsubscribing by one click, the header's form, the size. Each file has one message as it leaves the MTA, signed; "-" is the standard
input. A signature is not verified, and DNS is not asked: the daemon asks it for the sending addresses by itself. No daemon is needed.

The exit status is 0 if nothing was found and 1 otherwise.`,
		Example: "  millrace preflight newsletter.eml\n  millrace preflight --json *.eml | jq -r '.faults[].code' | sort | uniq -c",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, files []string) error {
			found := 0
			for _, file := range files {
				raw, err := readLetter(cmd.InOrStdin(), file)
				if err != nil {
					return err
				}
				v := examined{file, preflight.Examine(preflight.Letter{Header: raw, Size: int64(len(raw)), UTF8: utf8, Urgent: urgent, Time: time.Now()})}
				found += len(v.Faults)
				if err := v.print(cmd.OutOrStdout(), asJSON); err != nil {
					return err
				}
			}
			if found > 0 {
				return errFaults
			}
			return nil
		},
	}
	cmd.Flags().BoolVarP(&asJSON, "json", "j", false, "print one JSON object for each message")
	cmd.Flags().BoolVar(&urgent, "urgent", false, "it is no mail to unsubscribe from, as a password reset")
	cmd.Flags().BoolVar(&utf8, "smtputf8", false, "it is sent with SMTPUTF8, so that its header may have UTF-8")
	return cmd
}

// readLetter reads a message from a file, or from in if the file is called "-".
func readLetter(in io.Reader, file string) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	raw, err := io.ReadAll(io.LimitReader(in, maxLetter+1))
	switch {
	case err != nil:
		return nil, err
	case len(raw) > maxLetter:
		return nil, fmt.Errorf("%s: over %d bytes are no message", file, maxLetter)
	case len(bytes.TrimSpace(raw)) == 0:
		return nil, fmt.Errorf("%s: there is no message in it", file)
	}
	return raw, nil
}

// print writes what was found.
func (v *examined) print(w io.Writer, asJSON bool) error {
	if asJSON {
		if v.Faults == nil {
			v.Faults = []preflight.Fault{}
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}
	var b bytes.Buffer
	if len(v.Faults) == 0 {
		fmt.Fprintf(&b, "%s: nothing found\n", clean(v.File))
	}
	for _, f := range v.Faults {
		fmt.Fprintf(&b, "%s: %s: %s\n  Repair: %s\n", clean(v.File), f.Code, clean(f.Text), f.Repair)
	}
	_, err := w.Write(b.Bytes())
	return err
}
