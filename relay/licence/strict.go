package licence

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// ErrMalformed is the error for text that is not what it should be.
var ErrMalformed = errors.New("malformed")

// maxDepth is how deep objects and lists may stand in each other. A licence needs three.
const maxDepth = 8

// decode reads one JSON object into a pointer to a struct. encoding/json alone is too kind for signed text: of two keys of one name it
// takes the last, it ignores case, and another program may read the same text in another way. decode refuses a key twice, a key that
// into does not have in exactly this form, null, text that is not UTF-8, and whatever follows the object.
func decode(text []byte, into any) error {
	if !utf8.Valid(text) {
		return fmt.Errorf("%w: not UTF-8", ErrMalformed)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := walk(d, reflect.TypeOf(into).Elem(), 0); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: there is more behind its end", ErrMalformed)
	}
	strict := json.NewDecoder(bytes.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(into); err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

// walk reads a value of type t.
func walk(d *json.Decoder, t reflect.Type, depth int) error {
	token, err := d.Token()
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case err != nil:
		return err
	case token == nil:
		return errors.New("null is no value")
	case depth > maxDepth:
		return errors.New("too deep")
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case token == json.Delim('{') && t.Kind() == reflect.Struct:
		return walkObject(d, t, depth)
	case token == json.Delim('[') && t.Kind() == reflect.Slice:
		for d.More() {
			if err := walk(d, t.Elem(), depth+1); err != nil {
				return err
			}
		}
		_, err := d.Token()
		return err
	case depth == 0:
		return errors.New("it is no object")
	}
	if delim, ok := token.(json.Delim); ok {
		return fmt.Errorf("%s where a plain value should be", delim)
	}
	return nil
}

func walkObject(d *json.Decoder, t reflect.Type, depth int) error {
	known, seen := jsonFields(t), []string(nil)
	for d.More() {
		token, err := d.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		field, ok := known[key]
		switch {
		case !ok:
			return fmt.Errorf("unknown key %q", cut(key))
		case slices.Contains(seen, key):
			return fmt.Errorf("key %q stands there twice", key)
		}
		seen = append(seen, key)
		if err := walk(d, field, depth+1); err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
	}
	_, err := d.Token()
	return err
}

// jsonFields are the keys of a struct, those of embedded structs included.
func jsonFields(t reflect.Type) map[string]reflect.Type {
	known := make(map[string]reflect.Type)
	for _, f := range reflect.VisibleFields(t) {
		if name, _, _ := strings.Cut(f.Tag.Get("json"), ","); name != "" && name != "-" {
			known[name] = f.Type
		}
	}
	return known
}

// cut keeps a stranger's word short.
func cut(s string) string {
	if len(s) > 40 {
		return s[:40] + "..."
	}
	return s
}
