package console

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/net/netutil"

	"github.com/millrace/millrace/relay"
)

const (
	maxConnections = 64 // open at a time; more wait in the listen queue
	maxRequests    = 16 // answered at a time; more are told to come again
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	readTimeout    = 10 * time.Second
	idleTimeout    = time.Minute
)

// A Source is what the console shows: the daemon, seen from here.
type Source interface {
	// Status returns the daemon in numbers.
	Status() Status
	// Queues returns the queues in the map, and the domains that have only deferred nodes.
	Queues() []relay.QueueStatus
	// Messages walks over the waiting messages until yield returns false. yield may block on a slow reader, so no
	// lock may be held while it runs.
	Messages(yield func(relay.Listing) bool)
	// Message finds one by our id or by the MTA's queue id.
	Message(id string) (relay.Listing, bool)
}

// Server answers on the control socket.
type Server struct {
	src  Source
	http *http.Server
	// slots holds a token for every request that is being answered. It is the limit, and, once filled by Stop, the
	// proof that no handler is left.
	slots chan struct{}
}

// New returns a Server that shows src. It starts nothing.
func New(src Source, log hclog.Logger) *Server {
	s := &Server{src: src, slots: make(chan struct{}, maxRequests)}
	s.http = &http.Server{
		Handler:           http.MaxBytesHandler(s.limit(s.routes()), maxBodyBytes),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout, // streams renew it with every write
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}),
	}
	return s
}

func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.serveStatus)
	mux.HandleFunc("GET /v1/queues", s.serveQueues)
	mux.HandleFunc("GET /v1/messages", s.serveMessages)
	mux.HandleFunc("GET /v1/messages/{id}", s.serveMessage)
	return mux
}

// Run answers on ln until Stop, and returns nil then. It closes ln, which removes the socket.
func (s *Server) Run(ln net.Listener) error {
	err := s.http.Serve(netutil.LimitListener(ln, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("control socket: %w", err)
}

// Stop lets requests under way finish until ctx ends and cuts them off then. No goroutine of the Server is left when it
// returns nil. It may be called again.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // the error that counts is that of ctx
	}
	return s.join()
}

// join waits for the handlers, whose connections are closed by now: only a Source that does not return can hold one.
func (s *Server) join() error {
	late := time.NewTimer(writeTimeout)
	defer late.Stop()
	for held := range cap(s.slots) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
		case <-late.C:
			return fmt.Errorf("control socket: %d requests do not end", cap(s.slots)-held)
		}
	}
	return nil
}

// limit turns requests away once maxRequests are being answered.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, "too many requests at once; try again", http.StatusServiceUnavailable)
		}
	})
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	reply(w, s.src.Status())
}

func (s *Server) serveQueues(w http.ResponseWriter, _ *http.Request) {
	out := list(w)
	defer out.end()
	for _, q := range s.src.Queues() {
		if !out.encode(q) {
			return
		}
	}
}

func (s *Server) serveMessages(w http.ResponseWriter, r *http.Request) {
	f := newFilter(r.URL.Query())
	out := list(w)
	defer out.end()
	s.src.Messages(func(l relay.Listing) bool {
		if !f.match(&l) {
			return r.Context().Err() == nil // nothing is written, so nothing else would tell that the reader left
		}
		return out.encode(l)
	})
}

func (s *Server) serveMessage(w http.ResponseWriter, r *http.Request) {
	l, ok := s.src.Message(r.PathValue("id"))
	if !ok {
		http.Error(w, "no such message", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	reply(w, l)
}

func reply(w http.ResponseWriter, v any) {
	out := newStream(w)
	defer out.end()
	out.encode(v)
}

func list(w http.ResponseWriter) *stream {
	w.Header().Set("Content-Type", "application/x-ndjson")
	return newStream(w)
}
