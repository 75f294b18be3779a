package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/millrace/millrace/relay"
)

// A daemon that hangs must not hang the command that asks why. A list has no time limit once it has begun: a million
// messages take as long as the reader reads.
const (
	dialTimeout  = 5 * time.Second
	replyTimeout = 30 * time.Second // until the reply begins
	maxStatus    = 4 << 20          // bytes of a single object; the socket may belong to another program
	maxErrorText = 2048             // bytes of an error's text
)

var (
	// ErrUnreachable is returned when no daemon answers at the socket.
	ErrUnreachable = errors.New("the daemon is not reachable")
	// ErrNotNow is returned when the daemon cannot answer yet: it recovers, or it is asked too much.
	ErrNotNow = errors.New("ask again later")
	// ErrNotFound is returned when no message has the id asked for.
	ErrNotFound = errors.New("no such message is waiting")
)

// Client asks a daemon over its control socket. Its methods may be called at the same time. It starts no goroutine of its
// own; Close ends those of the HTTP transport.
type Client struct {
	socket string
	http   *http.Client
	acts   *http.Client // waits longer for its replies
}

// NewClient returns a client for the socket at that path. It connects at the first question, so a wrong path shows there.
func NewClient(socket string) *Client {
	c := &Client{socket: socket}
	c.http, c.acts = c.within(replyTimeout), c.within(actTimeout)
	return c
}

// within makes an HTTP client for replies that begin within that time.
func (c *Client) within(d time.Duration) *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext:           c.dial,
		DisableCompression:    true,
		ResponseHeaderTimeout: d,
		MaxIdleConns:          1,
	}}
}

// Close closes the connections that are kept for the next question.
func (c *Client) Close() {
	c.http.CloseIdleConnections()
	c.acts.CloseIdleConnections()
}

// Status asks for the daemon in numbers. Keys of a newer daemon are ignored.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var s Status
	err := c.object(ctx, "/v1/status", &s)
	return s, err
}

// MessagesNamed walks over the messages of one name: our id, which only one can have, or the MTA's queue id. The error is
// ErrNotFound when there is none.
func (c *Client) MessagesNamed(ctx context.Context, id string) iter.Seq2[relay.Listing, error] {
	return walk[relay.Listing](ctx, c, "/v1/messages/"+url.PathEscape(id))
}

// Messages walks over the waiting messages, in the order in which they were taken. An error ends the walk and comes with a zero
// Listing.
func (c *Client) Messages(ctx context.Context, f Filter) iter.Seq2[relay.Listing, error] {
	return walk[relay.Listing](ctx, c, "/v1/messages"+f.query())
}

// Queues walks over so many queues at most, the longest first, or for 0 over all of them, in no order. An error ends the walk and comes
// with a zero QueueStatus.
func (c *Client) Queues(ctx context.Context, most int) iter.Seq2[relay.QueueStatus, error] {
	return walk[relay.QueueStatus](ctx, c, "/v1/queues?most="+strconv.Itoa(most))
}

func (c *Client) object(ctx context.Context, path string, into any) error {
	body, err := c.get(ctx, path)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxStatus)).Decode(into); err != nil {
		return fmt.Errorf("read the daemon's reply: %w", err)
	}
	return nil
}

// walk reads a list value by value: the list may be larger than this program's memory. The connection is closed when the
// caller leaves the loop early, which ends the daemon's walk too.
func walk[T any](ctx context.Context, c *Client, path string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		body, err := c.get(ctx, path)
		if err != nil {
			yield(*new(T), err)
			return
		}
		defer body.Close()
		for dec := json.NewDecoder(body); ; {
			var v T
			err := dec.Decode(&v)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				err = fmt.Errorf("read the daemon's reply: %w", err)
			}
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// get returns the body of a 200 reply; the caller must close it. HTTP wants a host in the address, but dial ignores it: the
// socket is the address.
func (c *Client) get(ctx context.Context, path string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://millrace"+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, ErrNotFound
	case http.StatusNoContent:
		return nil, ErrNoDrain
	}
	return nil, refusal(resp)
}

// refusal is the error that an answer of another status stands for.
func refusal(resp *http.Response) error {
	text := errorText(resp)
	if resp.StatusCode == http.StatusServiceUnavailable {
		return fmt.Errorf("%w: %s", ErrNotNow, text)
	}
	return fmt.Errorf("the daemon answers %s: %s", resp.Status, text)
}

// errorText is the body of an answer that is an error. A text that is cut off still tells more than none.
func errorText(resp *http.Response) string {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorText))
	return strings.TrimSpace(string(text))
}

func (c *Client) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialTimeout}
	return d.DialContext(ctx, "unix", c.socket)
}

// explain turns the kernel's error into a text that the reader can act on. Only an error that means "no daemon" wraps
// ErrUnreachable: the exit status of a command follows it.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no %s", ErrUnreachable, c.socket)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody answers at %s", ErrUnreachable, c.socket)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s: %w; join the group that owns it", c.socket, fs.ErrPermission)
	}
	if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
		return fmt.Errorf("%w: %s: %w", ErrUnreachable, c.socket, op.Err)
	}
	return fmt.Errorf("ask the daemon: %w", err)
}
