package rescue

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/millrace/millrace/filter/smtpd"
)

// service is the name of the transport that a rescue gives Postfix.
const service = "millrace-rescue"

// deliveries is how many deliveries to the door Postfix has open at a time. The door answers after a commit of the journal, which all of
// them share.
const deliveries = "20"

// options are those of the service. What the transport smtp does to content on its way out is done here too.
var options = []string{
	"lmtp_lhlo_name=" + smtpd.RescueName,
	"soft_bounce=yes", // a refusal for good would return mail to its sender
	"lmtp_send_xforward_command=yes",
	"lmtp_fallback_relay=",
	"lmtp_bind_address=",
	"lmtp_bind_address6=",
	"lmtp_tls_security_level=none",
	"lmtp_sasl_auth_enable=no",
	"lmtp_discard_lhlo_keywords=",
	"lmtp_discard_lhlo_keyword_address_maps=",
	"disable_mime_output_conversion=yes",
	"lmtp_generic_maps=$smtp_generic_maps",
	"lmtp_header_checks=$smtp_header_checks",
	"lmtp_mime_header_checks=$smtp_mime_header_checks",
	"lmtp_nested_header_checks=$smtp_nested_header_checks",
	"lmtp_body_checks=$smtp_body_checks",
}

// parameters are those of main.cf that only the queue manager reads. The whole backlog is one destination for it: it must not be given up
// because one message fails.
var parameters = []string{
	service + "_destination_concurrency_limit=" + deliveries,
	service + "_initial_destination_concurrency=" + deliveries,
	service + "_destination_concurrency_failed_cohort_limit=0",
}

// set leads the addresses of a plan to the door. What was there before is on the disk when the first file is changed.
func (r *Rescue) set(ctx context.Context, p *Plan) error {
	s := r.store
	if err := s.prepare(); err != nil {
		return err
	}
	path := filepath.Join(s.dir, tableName)
	if strings.ContainsAny(path, " ,\t{}$:") {
		return fmt.Errorf("%s: main.cf cannot name a table below a directory of that name", s.config)
	}
	if err := writeSynced(path, p.table(r.hop), 0o600); err != nil {
		return err
	}
	rec := &Record{Begun: time.Now().Round(time.Second), PID: os.Getpid(), Door: r.door, Addresses: p.Addresses, Table: "texthash:" + path}
	if err := r.edit(ctx, rec); err != nil {
		return errors.Join(err, s.forget())
	}
	if err := s.commit(rec); err != nil {
		return errors.Join(err, s.forget())
	}
	for _, name := range changed {
		if ok, err := s.install(name, after, before); err != nil || !ok {
			return errors.Join(err, fmt.Errorf("%s: somebody changes it at this moment", name), r.restore(context.WithoutCancel(ctx)))
		}
	}
	if err := r.postfix.reload(ctx); err != nil {
		return errors.Join(err, r.restore(context.WithoutCancel(ctx)))
	}
	return nil
}

// edit makes the files of the store as the rescue wants them.
func (r *Rescue) edit(ctx context.Context, rec *Record) error {
	dir := filepath.Join(r.store.dir, after)
	maps, err := r.postconf(ctx, dir, "-h", "transport_maps")
	if err != nil {
		return err
	}
	written, err := r.postconf(ctx, dir, "-n", "transport_maps")
	if err != nil {
		return err
	}
	rec.Transport = written != ""
	value := rec.Table
	if maps != "" {
		value += ", " + maps
	}
	var own []string
	for _, o := range options {
		own = append(own, service+"/unix/"+o)
	}
	for _, args := range [][]string{
		{"-M", service + "/unix=" + service + " unix - - n - " + deliveries + " lmtp"},
		append([]string{"-P"}, own...),
		append([]string{"-e", "transport_maps=" + value}, parameters...),
	} {
		if _, err := r.postconf(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// postconf runs the command on the files in dir. Of files in the store, which nobody else writes, it says that they are a minute old: a
// program of Postfix waits until a file that it reads is two seconds old.
func (r *Rescue) postconf(ctx context.Context, dir string, args ...string) (string, error) {
	if dir != r.store.config {
		old := time.Now().Add(-time.Minute)
		for _, name := range changed {
			if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
				return "", err
			}
		}
	}
	out, err := run(r.postfix.command(ctx, dir, "postconf", args...))
	return strings.TrimSpace(string(out)), err
}

// restore puts Postfix's files back and takes the store away. It is for a caller that holds the lock and has seen a record.
func (r *Rescue) restore(ctx context.Context) error {
	rec, err := r.store.record()
	if err != nil || rec == nil {
		return err
	}
	runs := r.postfix.running(ctx) // asked first: a command of Postfix waits until main.cf is two seconds old
	for i := len(changed) - 1; i >= 0; i-- {
		name := changed[i]
		whole, err := r.store.install(name, before, after)
		if err != nil {
			return err
		}
		if !whole {
			r.tell(Note("%s has been changed since the rescue began: only its settings are taken out", name))
			if err := r.takeOut(ctx, name, rec); err != nil {
				return err
			}
		}
	}
	if runs {
		if err := r.postfix.reload(ctx); err != nil {
			return err
		}
	}
	return r.store.forget()
}

// takeOut takes the rescue's settings out of a file that somebody has changed meanwhile.
func (r *Rescue) takeOut(ctx context.Context, name string, rec *Record) error {
	dir := r.store.config
	if name == "master.cf" {
		_, err := r.postconf(ctx, dir, "-MX", service+"/unix")
		return err
	}
	maps, err := r.postconf(ctx, dir, "-h", "transport_maps")
	if err != nil {
		return err
	}
	value := without(maps, rec.Table)
	args := []string{"-e", "transport_maps=" + value}
	if value == "" && !rec.Transport {
		args = []string{"-X", "transport_maps"}
	}
	var names []string
	for _, p := range parameters {
		name, _, _ := strings.Cut(p, "=")
		names = append(names, name)
	}
	for _, args := range [][]string{args, append([]string{"-X"}, names...)} {
		if _, err := r.postconf(ctx, dir, args...); err != nil {
			return err
		}
	}
	return nil
}

// without is a list of main.cf without one word.
func without(list, word string) string {
	for _, form := range []string{word + ", ", ", " + word, word + " ", " " + word, word + ",", "," + word, word} {
		if strings.Contains(list, form) {
			return strings.Replace(list, form, "", 1)
		}
	}
	return list
}
