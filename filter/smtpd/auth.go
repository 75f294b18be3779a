package smtpd

import (
	"bytes"
	"errors"
	"unicode/utf8"
)

var errPlain = errors.New("AUTH PLAIN: the response is not NUL, name, NUL, password")

// parsePlain takes the response of AUTH PLAIN apart (RFC 4616): authzid NUL authcid NUL password. Nobody may act as another, so authzid
// is empty or the same name.
func parsePlain(response []byte) (name, password string, err error) {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 || len(parts[1]) == 0 || len(parts[2]) == 0 || !utf8.Valid(response) {
		return "", "", errPlain
	}
	if len(parts[0]) > 0 && !bytes.Equal(parts[0], parts[1]) {
		return "", "", errors.New("AUTH PLAIN: nobody may act as another user")
	}
	return string(parts[1]), string(parts[2]), nil
}
