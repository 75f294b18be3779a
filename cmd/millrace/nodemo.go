//go:build nodemo

package main

import "github.com/spf13/cobra"

// addDemo adds nothing: this program was built without the demonstration.
func addDemo(*cobra.Command) {}
