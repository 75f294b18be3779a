package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/BurntSushi/toml"
)

// parse turns a panic of the parser into an error. The parser panics when it believes to have found a fault of its own,
// and a reload must never end the daemon.
func parse(text string) (given map[string]any, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("is not TOML: %v", r)
		}
	}()
	_, err = toml.Decode(text, &given)
	return given, err
}

// syntaxError gives the parser's error our form: the place in front, where an editor looks, and not within the text.
func syntaxError(file string, err error) *Error {
	e := &Error{File: file, Text: err.Error()}
	if p := (toml.ParseError{}); errors.As(err, &p) {
		e.Line, e.Column, e.Text = p.Position.Line, p.Position.Col, strings.TrimSuffix(p.Message, ".")
	}
	return e
}
