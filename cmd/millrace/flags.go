package main

import (
	"cmp"
	"os"

	"github.com/spf13/cobra"

	"github.com/millrace/millrace/cmd/config"
	"github.com/millrace/millrace/relay/console"
)

// defaultConfig is where packages put the configuration.
const defaultConfig = "/etc/millrace/millrace.toml"

// configFlag is the value of -c; path is the file to load.
type configFlag string

func (f *configFlag) addTo(cmd *cobra.Command) {
	cmd.Flags().StringVarP((*string)(f), "config", "c", "",
		"configuration `FILE`; else $MILLRACE_CONFIG, else "+defaultConfig)
}

// path is the file to load. The flag overrules the environment.
func (f *configFlag) path() string {
	return cmp.Or(string(*f), os.Getenv("MILLRACE_CONFIG"), defaultConfig)
}

// clientFlags are for commands that ask a running daemon.
type clientFlags struct {
	config configFlag
	socket string
	json   bool
}

func (f *clientFlags) addTo(cmd *cobra.Command) {
	f.config.addTo(cmd)
	cmd.Flags().StringVar(&f.socket, "socket", "",
		"control socket `PATH`; else $MILLRACE_SOCKET, else control.socket of the configuration")
	addJSON(cmd, &f.json)
}

// addJSON adds --json, with the same letter and words in every command.
func addJSON(cmd *cobra.Command, to *bool) {
	cmd.Flags().BoolVarP(to, "json", "j", false, "print JSON, one object a line")
}

// client returns a client of the daemon that the flags, the environment or the configuration name. A configuration that the
// user names must be right. The default file need not be: it may be unreadable for the user, or broken just now, and the
// daemon still answers.
func (f *clientFlags) client() (*console.Client, error) {
	if path := cmp.Or(f.socket, os.Getenv("MILLRACE_SOCKET")); path != "" {
		return console.NewClient(path), nil
	}
	cfg, err := config.Load(f.config.path())
	switch {
	case err == nil:
		return console.NewClient(cfg.Control.Socket), nil
	case f.config.path() != defaultConfig:
		return nil, err
	}
	return console.NewClient(console.DefaultConfig().Socket), nil
}
