package config

import "github.com/millrace/millrace/filter/smtpd"

// UserLine makes the line of a user for the file that the key smtpd.users names. A name or a password that the file cannot have is an
// error.
func UserLine(name, password string) (string, error) { return smtpd.UserLine(name, password) }
