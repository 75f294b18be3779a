package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/spf13/cobra"

	"github.com/millrace/millrace/relay/licence"
)

// serverFlags are those of a licence server.
type serverFlags struct {
	listen, cert, tlsKey string
	key, tokens, state   string
	offer                licence.Offer
}

func licenceServeCommand() *cobra.Command {
	var f serverFlags
	var days int
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Hand out slices of one allowance to several servers",
		Long: `Run a licence server. It knows each server by a token, collects its numbers, and hands out slices of one allowance, signed with a
key of "licence issue --new-key". A server whose slice is half used, or half over, gets another. What a server has not used
comes back when it reports so, or when its slice has expired. The state is durable before an answer is given.

The file of tokens has a line "NAME TOKEN" for each server; the holder of the token of the name "admin" may read the statistics at
/v1/statistics. Only its owner and group may read the file, and that of the key. Without --tls-cert only loopback addresses are served.`,
		Example: `  millrace licence serve --listen :8443 --tls-cert l.crt --tls-key l.key --key licensor.pem --tokens tokens --state pool.json \
      --licensee "Example Ltd" --total 1000000 --slice 20000 --days 7`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.offer.For = time.Duration(days) * 24 * time.Hour
			if err := f.validate(); err != nil {
				return usageError{err}
			}
			log := hclog.New(&hclog.LoggerOptions{Name: "licence", Output: cmd.ErrOrStderr(), Level: hclog.Info})
			return f.serve(cmd.Context(), log, nil)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", "127.0.0.1:8443", "`ADDRESS` to listen on")
	flags.StringVar(&f.cert, "tls-cert", "", "`FILE` of the certificate chain, PEM")
	flags.StringVar(&f.tlsKey, "tls-key", "", "`FILE` of its key, PEM")
	flags.StringVar(&f.key, "key", "", "`FILE` of the key to sign with")
	flags.StringVar(&f.tokens, "tokens", "", "`FILE` of the servers and their tokens")
	flags.StringVar(&f.state, "state", "", "`FILE` of what was handed out; made if it does not exist")
	flags.StringVar(&f.offer.Licensee, "licensee", "", "`NAME` of whose allowance it is")
	flags.Uint64Var(&f.offer.Total, "total", 0, "recipients of all servers together")
	flags.Uint64Var(&f.offer.Slice, "slice", 0, "recipients that a server gets at once")
	flags.IntVar(&days, "days", 7, "days that a slice holds")
	return cmd
}

// validate returns what is missing or wrong on the command line.
func (f *serverFlags) validate() error {
	for _, file := range []struct{ flag, path string }{{"key", f.key}, {"tokens", f.tokens}, {"state", f.state}} {
		if file.path == "" {
			return fmt.Errorf("--%s is missing", file.flag)
		}
	}
	if (f.cert == "") != (f.tlsKey == "") {
		return errors.New("--tls-cert and --tls-key belong together; give both, or neither")
	}
	return f.offer.Validate()
}

// The times of the licence server: a request and its answer are a few hundred bytes.
const (
	serverTimeout = 15 * time.Second
	serverIdle    = 2 * time.Minute
)

// serve runs until ctx is done. ready is told of the address; nil: nobody is.
func (f *serverFlags) serve(ctx context.Context, log hclog.Logger, ready func(net.Addr)) error {
	pool, err := licence.OpenPool(f.state)
	if err != nil {
		return err
	}
	defer pool.Close()
	handler, err := f.handler(pool, log)
	if err != nil {
		return err
	}
	ln, err := f.open()
	if err != nil {
		return err
	}
	if ready != nil {
		ready(ln.Addr())
	}
	s := &http.Server{
		Handler: handler, ReadTimeout: serverTimeout, WriteTimeout: serverTimeout, IdleTimeout: serverIdle, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Debug}),
	}
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // ends when the answers under way are given, or too slow
		defer close(over)
		soon, cancel := context.WithTimeout(context.Background(), serverTimeout)
		defer cancel()
		_ = s.Shutdown(soon) // an answer that is cut is asked for again
	})
	defer stop()
	log.Info("serving", "listen", ln.Addr(), "total", f.offer.Total, "slice", f.offer.Slice, "for", f.offer.For)
	if err := s.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-over
	return nil
}

// handler makes the licence server.
func (f *serverFlags) handler(pool *licence.Pool, log hclog.Logger) (http.Handler, error) {
	key, err := licence.ReadKey(f.key)
	if err != nil {
		return nil, err
	}
	log.Info("slices are signed", "licence_keys", key.Public().String())
	return licence.NewServer(pool, f.offer, key, f.tokens, func(text string, args ...any) { log.Info(text, args...) })
}

// open opens the socket. Tokens never go in clear over a network.
func (f *serverFlags) open() (net.Listener, error) {
	addr, err := net.ResolveTCPAddr("tcp", f.listen)
	if err != nil {
		return nil, usageError{fmt.Errorf("--listen: %w", err)}
	}
	if f.cert == "" {
		if !addr.IP.IsLoopback() {
			return nil, usageError{fmt.Errorf("--listen %s is beyond loopback, and tokens would go in clear; give --tls-cert and --tls-key", f.listen)}
		}
		return net.ListenTCP("tcp", addr)
	}
	pair, err := tls.LoadX509KeyPair(f.cert, f.tlsKey)
	if err != nil {
		return nil, err
	}
	ln, err := net.ListenTCP("tcp", addr)
	if err != nil {
		return nil, err
	}
	return tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS13}), nil
}
