package main

import (
	"io"
	"os"

	"github.com/hashicorp/go-hclog"
)

// newLog is the technical log. Under systemd it has no clock: the system's journal adds its own.
func newLog(w io.Writer, level hclog.Level) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{
		Name: "millrace", Level: level, Output: w, DisableTime: os.Getenv("JOURNAL_STREAM") != "",
	})
}
