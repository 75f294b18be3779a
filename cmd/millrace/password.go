package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/millrace/millrace/cmd/config"
)

// passwordCommand takes no password as an argument: the arguments of a command are seen by every user of the host.
func passwordCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "password NAME",
		Short: "Make a line of the file of users that may log in",
		Long: `Read a password and print the line "name:hash" for the file that smtpd.users names. The hash is bcrypt's. On a terminal the
password is asked for twice and is not shown; otherwise it is the first line of the standard input. The daemon reads the
file when it starts. Only its user and group may read the file.`,
		Example: `  millrace password newsletter >> /etc/millrace/users
  openssl rand -base64 24 | tee secret | millrace password newsletter >> /etc/millrace/users`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			password, err := readPassword(cmd.InOrStdin(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			line, err := config.UserLine(args[0], password)
			if err != nil {
				return usageError{err}
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), line)
			return err
		},
	}
}

// readPassword reads a line. On a terminal it is asked for on prompt.
func readPassword(in io.Reader, prompt io.Writer) (string, error) {
	if f, ok := in.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		return askPassword(int(f.Fd()), prompt)
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"), nil
}

// askPassword asks twice.
func askPassword(terminal int, prompt io.Writer) (string, error) {
	var said [2]string
	for i, question := range []string{"Password: ", "Again: "} {
		fmt.Fprint(prompt, question)
		b, err := term.ReadPassword(terminal)
		fmt.Fprintln(prompt)
		if err != nil {
			return "", fmt.Errorf("read the password: %w", err)
		}
		said[i] = string(b)
	}
	if said[0] != said[1] {
		return "", errors.New("the two passwords differ")
	}
	return said[0], nil
}
