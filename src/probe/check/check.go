// Package check asks a service in a private network whether it answers: by ICMP echo, by opening a TCP
// connection or by an HTTP request. It tells apart an answer that came back through the path, even a
// refusal, from silence, and both from a question that could not be sent. It keeps nothing.
package check

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"privnet/connection"
)

// Result is what one question came to.
type Result struct {
	// At is when the question was asked.
	At time.Time
	// Asked is false if the question could not be sent for a reason of this VM, such as a missing
	// capability; it then says nothing of the path.
	Asked bool
	// Reached says that something came back from the target: the path works.
	Reached bool
	// Served says that it was the answer hoped for: the service works too.
	Served bool
	// Took is the time from question to answer.
	Took time.Duration
	// Detail says what went wrong.
	Detail string
}

// Name is the target as it is written in labels and messages: icmp://10.150.0.10, tcp://10.150.0.10:443
// or http://10.150.0.10:80/health.
func Name(t connection.Target) string {
	if t.Check == connection.CheckICMP {
		return "icmp://" + t.Address.String()
	}
	return string(t.Check) + "://" + netip.AddrPortFrom(t.Address, t.Port).String() + t.Path
}

// Ask asks a target once, from the source address. The context limits how long it waits.
func Ask(ctx context.Context, target connection.Target, source netip.Addr) Result {
	result := Result{At: time.Now()}
	var err error
	switch target.Check {
	case connection.CheckTCP:
		err = askTCP(ctx, target, source)
	case connection.CheckHTTP:
		err = askHTTP(ctx, target, source)
	default:
		err = askICMP(ctx, target, source)
	}
	result.Took = time.Since(result.At)
	result.judge(err)
	return result
}

// unaskable is an error that says nothing of the path.
type unaskable struct{ error }

func (r *Result) judge(err error) {
	r.Asked, r.Reached = true, true
	var local unaskable
	var timeout net.Error
	switch {
	case err == nil:
		r.Served = true
		return
	case errors.As(err, &local), errors.Is(err, syscall.EADDRNOTAVAIL), errors.Is(err, syscall.EADDRINUSE),
		errors.Is(err, syscall.EMFILE), errors.Is(err, context.Canceled):
		r.Asked, r.Reached = false, false
		r.Detail = err.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		r.Detail = "connection refused: the path works, the service does not"
	case errors.Is(err, errAnswer):
		r.Detail = err.Error()
	case errors.Is(err, errSilence):
		r.Detail = fmt.Sprintf("the connection opens, but no answer within %s: the path works, the service does not", r.Took.Round(time.Millisecond))
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		r.Reached = false
		r.Detail = fmt.Sprintf("no answer within %s", r.Took.Round(time.Millisecond))
	case errors.Is(err, syscall.ENETUNREACH):
		r.Reached = false
		r.Detail = "this VM has no route to it"
	case errors.Is(err, syscall.EPERM):
		r.Reached = false
		r.Detail = "a rule on this VM dropped it"
	default:
		r.Reached = false
		r.Detail = err.Error()
	}
}

var (
	// errAnswer is an answer that came, but not as it should be.
	errAnswer = errors.New("the answer is no HTTP")
	// errSilence is none, from a service that was connected to.
	errSilence = errors.New("no answer")
)

func dialer(source netip.Addr) *net.Dialer {
	return &net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0)), KeepAlive: -1}
}

func askTCP(ctx context.Context, target connection.Target, source netip.Addr) error {
	conn, err := dialer(source).DialContext(ctx, "tcp4", netip.AddrPortFrom(target.Address, target.Port).String())
	if err != nil {
		return err
	}
	return conn.Close()
}

// askHTTP takes any status as an answer and reads no body.
func askHTTP(ctx context.Context, target connection.Target, source netip.Addr) error {
	connected := false
	transport := &http.Transport{
		DisableKeepAlives:      true,
		MaxResponseHeaderBytes: 16 << 10,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dialer(source).DialContext(ctx, network, address)
			connected = err == nil
			return conn, err
		},
	}
	defer transport.CloseIdleConnections()
	where, err := url.Parse("http://" + net.JoinHostPort(target.Address.String(), strconv.Itoa(int(target.Port))) + target.Path)
	if err != nil {
		return unaskable{err}
	}
	request := &http.Request{Method: http.MethodGet, URL: where, Header: http.Header{"User-Agent": {"private-network-prober"}}}
	response, err := transport.RoundTrip(request.WithContext(ctx))
	switch {
	case err == nil:
		return response.Body.Close()
	case connected && ctx.Err() == nil:
		return fmt.Errorf("%w: %w", errAnswer, err)
	case connected && errors.Is(ctx.Err(), context.DeadlineExceeded):
		return errSilence
	default:
		return err
	}
}
