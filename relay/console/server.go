package console

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"golang.org/x/net/netutil"

	"github.com/millrace/millrace/relay"
)

// The bounds keep a runaway monitor from taking memory or descriptors that the mail needs.
const (
	maxConnections = 64 // open at a time; more wait in the listen queue
	maxRequests    = 16 // answered at a time; more get 503
	maxActs        = 8  // of them, those that are acts: one waits for the one before, and a monitor must not wait for any
	maxWatchers    = 6  // of them, those that follow the events: they may stay for days
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	readTimeout    = 10 * time.Second
	idleTimeout    = time.Minute
)

// A Source is the daemon as the console sees it. It stands here, with the package that asks, because the console must not
// import the parts whose numbers it shows.
type Source interface {
	Tracer
	// Status returns the daemon in numbers.
	Status() Status
	// Queues walks over the queues in the map, and the domains that have only deferred nodes: so many at most, the longest first, or
	// for 0 all of them, in no order. The reader may be slow, so no lock may be held while it reads.
	Queues(most int) iter.Seq[relay.QueueStatus]
	// Messages walks over the waiting messages behind the one with that ID, in the order in which they were taken. The reader may be
	// slow here too.
	Messages(after relay.ID) iter.Seq[relay.Listing]
	// MessagesNamed finds messages by our id or by the MTA's queue id, of which there may be several.
	MessagesNamed(id string) []relay.Listing
	// Sites walks over the sites that a name stands for, or all for "", until yield returns false: so many at most, those with
	// the most waiting nodes first, or for 0 all of them, in no order. yield may block, so no lock may be held while it runs.
	Sites(name string, most int, yield func(Site) bool)
	// Sharing returns how much of each flow's mail is held once: so many rows, those with the most bytes first, and one for all others.
	Sharing(most int) []relay.Sharing
	CampaignSource
	StatisticsSource
	// ReloadFile reads the configuration file again. An error says why that cannot be done now.
	ReloadFile() (Reloaded, error)
	// Upgrade has the daemon hand over to the program on disk, after it has answered. An error says why not: it is ErrNotNow, or that
	// program is not fit.
	Upgrade(who string) error
}

// Server answers on the control socket.
type Server struct {
	src  Source
	acts Acts
	log  hclog.Logger
	http *http.Server
	// events is the event stream; nil: there is none.
	events Events
	// life is the context of acts: one goes on when its reader leaves, and not when the Server is cut off.
	life context.Context
	end  context.CancelFunc
	// stopping is the context of answers that have no end: it is done when Stop begins.
	stopping context.Context
	// slots holds a token for every request that is being answered. Its capacity is the limit. Stop fills it: when that
	// has succeeded, no handler is left.
	slots  chan struct{}
	acting chan struct{} // holds a token for every act
	watch  chan struct{} // holds a token for every reader of the events
	faults sync.Map      // of survive: the texts logged with a stack
}

// New returns a Server that shows src and hands orders to acts. It starts nothing.
func New(src Source, acts Acts, log hclog.Logger) *Server {
	s := &Server{src: src, acts: acts, log: log, slots: make(chan struct{}, maxRequests), acting: make(chan struct{}, maxActs), watch: make(chan struct{}, maxWatchers)}
	s.life, s.end = context.WithCancel(context.Background())
	stopping, stop := context.WithCancel(s.life)
	s.stopping = stopping
	s.http = &http.Server{
		Handler:           http.MaxBytesHandler(s.limit(s.routes()), maxBodyBytes),
		ReadHeaderTimeout: readTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout, // streams renew it with every write
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ConnContext:       withPeer,
		ErrorLog:          log.StandardLogger(&hclog.StandardLoggerOptions{ForceLevel: hclog.Warn}),
	}
	s.http.RegisterOnShutdown(stop)
	return s
}

// routes has a version in every path: an answer of another form can stand beside the old one.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/status", s.serveStatus)
	mux.HandleFunc("GET /v1/queues", s.serveQueues)
	mux.HandleFunc("GET /v1/messages", s.serveMessages)
	mux.HandleFunc("GET /v1/messages/{id}", s.serveNamed)
	mux.HandleFunc("GET /v1/sites", s.serveSites)
	mux.HandleFunc("GET /v1/sites/{name}", s.serveSitesNamed)
	mux.HandleFunc("GET /v1/trace", s.serveTrace)
	mux.HandleFunc("GET /v1/wrappers", s.serveWrappers)
	mux.HandleFunc("GET /v1/campaigns", s.serveCampaigns)
	mux.HandleFunc("GET /v1/campaigns/{name}", s.serveCampaignsNamed)
	mux.HandleFunc("GET /v1/statistics", s.serveStatistics)
	mux.HandleFunc("POST /v1/reload", s.serveReload)
	mux.HandleFunc("POST /v1/upgrade", s.serveUpgrade)
	mux.HandleFunc("POST /v1/acts", s.serveAct)
	mux.HandleFunc("GET /v1/pauses", s.servePauses)
	mux.HandleFunc("GET /v1/shape", s.serveShape)
	mux.HandleFunc("GET /v1/drain", s.serveDrain)
	mux.HandleFunc("GET /v1/events", s.serveEvents)
	return mux
}

// Run answers on ln until Stop, and returns nil then. It runs on the caller's goroutine. It closes ln, which removes the
// socket.
func (s *Server) Run(ln net.Listener) error {
	err := s.http.Serve(netutil.LimitListener(peers{ln}, maxConnections))
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("control socket: %w", err)
}

// Stop lets requests under way finish until ctx ends and cuts them off then. No goroutine of the Server is left when it
// returns nil. It may be called again.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		_ = s.http.Close() // nothing to report: requests were cut off on purpose
	}
	s.end()
	return s.join()
}

// join waits for the handlers. http.Server.Close does not, and a handler must not read the daemon's parts while they are
// being closed. The connections are closed by now, so only a Source that does not return can hold a handler.
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

// limit turns requests away once maxRequests are being answered. To let them wait would hide the overload from the monitor
// that causes it.
func (s *Server) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case s.slots <- struct{}{}:
			defer func() { <-s.slots }()
			a := &response{ResponseWriter: w}
			defer s.survive(a, r)
			next.ServeHTTP(a, r)
		default:
			http.Error(w, "too many requests at once; try again", http.StatusServiceUnavailable)
		}
	})
}

// response knows whether it has begun.
type response struct {
	http.ResponseWriter
	begun bool
}

// Write implements http.ResponseWriter.
func (a *response) Write(p []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController reach the connection.
func (a *response) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// survive answers for a handler that met a fault of our own, and logs the fault, with its stack the first time it is seen. A list
// that has begun is broken off: its reader must not take it for complete.
func (s *Server) survive(a *response, r *http.Request) {
	fault := recover()
	if fault == nil {
		return
	}
	if fault == http.ErrAbortHandler { // no fault: that is how a handler hangs up
		panic(fault)
	}
	args := []any{"in", "console", "request", r.Method + " " + r.URL.Path, "panic", fault}
	if _, seen := s.faults.LoadOrStore(fmt.Sprint(r.URL.Path, fault), true); !seen {
		args = append(args, "stack", string(debug.Stack()))
	}
	s.log.Error("internal error: please report it", args...)
	if a.begun {
		panic(http.ErrAbortHandler)
	}
	http.Error(a, "internal error; the daemon's log has it", http.StatusInternalServerError)
}

func (s *Server) serveStatus(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	reply(w, s.src.Status())
}

// maxQueues is how many queues can be asked for in order.
const maxQueues = 10_000

func (s *Server) serveQueues(w http.ResponseWriter, r *http.Request) {
	most, err := number(r.URL.Query(), "most", 0, 0, maxQueues)
	if err != nil {
		http.Error(w, err.Error()+"; 0 lists all, in no order", http.StatusBadRequest)
		return
	}
	out := list(w)
	defer out.end()
	for q := range s.src.Queues(most) {
		if !out.encode(q) || r.Context().Err() != nil {
			return
		}
	}
}

// serveMessages writes each message as the walk finds it. No lock is held while it writes, so a message may be settled
// between the walk and the line.
func (s *Server) serveMessages(w http.ResponseWriter, r *http.Request) {
	f, after, err := newFilter(r.URL.Query())
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	out := list(w)
	defer out.end()
	n := 0
	for l := range s.src.Messages(after) {
		if r.Context().Err() != nil { // a walk on which nothing is written cannot end by a failed write
			return
		}
		if f.match(&l) {
			if n++; !out.encode(l) || n == f.Most {
				return
			}
		}
	}
}

func (s *Server) serveNamed(w http.ResponseWriter, r *http.Request) {
	named := s.src.MessagesNamed(r.PathValue("id"))
	if len(named) == 0 {
		s.serveNone(w)
		return
	}
	writeAll(w, named)
}

// serveNone says that there is no such message, or that it may still come: the recovery has not read all of them.
func (s *Server) serveNone(w http.ResponseWriter) {
	if st := s.src.Status(); st.Journal.Recovering != nil {
		http.Error(w, st.Journal.Recovering.String(), http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "no such message", http.StatusNotFound)
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

// writeAll is the answer that lists these objects.
func writeAll[T any](w http.ResponseWriter, all []T) {
	out := list(w)
	defer out.end()
	for i := range all {
		if !out.encode(&all[i]) {
			return
		}
	}
}
