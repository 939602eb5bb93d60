package holdfast

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc"
)

// callTimeout bounds one attempt of a call that answers once.
const callTimeout = 2 * time.Minute

// retryPolicy says how long and how often a call is repeated that found no server.
type retryPolicy struct {
	window       time.Duration // once the server was heard
	firstWindow  time.Duration // before that: then the address is more likely wrong than the server gone
	initialDelay time.Duration // upper bound of the first pause; it doubles with each
	maxDelay     time.Duration // where that bound stops growing
}

var defaultRetry = retryPolicy{
	window:       30 * time.Second,
	firstWindow:  5 * time.Second,
	initialDelay: 100 * time.Millisecond,
	maxDelay:     2 * time.Second,
}

const forever = time.Duration(math.MaxInt64)

// patience pauses between attempts that bring nothing, until a window is over that begins with the first of them. Make
// a new one after progress.
type patience struct {
	policy   retryPolicy
	window   time.Duration
	began    time.Time
	failures int
}

// pause waits before the next attempt; false when there is to be none. Pauses have full jitter, so that clients do not
// come back together ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). Of what a server told to wait,
// half as much again is spread over its clients.
func (p *patience) pause(ctx context.Context, told time.Duration) bool {
	if p.began.IsZero() {
		p.began = time.Now()
	}
	bound := min(p.policy.maxDelay, p.policy.initialDelay<<min(p.failures, 10))
	delay := max(rand.N(bound+1), told+rand.N(told/2+1))
	if p.window-time.Since(p.began) < delay {
		return false
	}
	p.failures++
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// persist does something with the server, again while it cannot be reached: a call, or a whole stream, which goes on
// where it was. When reached, where it is not nil, moved since the last failure, the window begins anew.
func (c *connection) persist(ctx context.Context, reached func() int64, attempt func(context.Context) error) error {
	var pauses *patience
	var before int64
	if reached != nil {
		before = reached()
	}
	for {
		err := attempt(ctx)
		if err == nil {
			c.answered.Store(true)
			return nil
		}
		var failure *Error
		if !errors.As(err, &failure) || ctx.Err() != nil {
			return err
		}
		if !failure.isInterruption() {
			c.answered.Store(c.answered.Load() || failure.Reason != "")
			return err
		}
		if failure.isAnswer() && !c.answered.Swap(true) {
			pauses = nil // it is waited for longer
		}
		if !c.answered.Load() {
			if explained := c.explainTLS(ctx, failure); explained != nil {
				return explained
			}
		}
		if reached != nil && reached() != before {
			pauses, before = nil, reached()
		}
		if pauses == nil {
			pauses = c.newPatience()
			c.tellOfWaiting(ctx, failure, pauses.window)
		}
		if !pauses.pause(ctx, failure.retryAfter) {
			return orEnded(ctx, err)
		}
	}
}

// tellOfWaiting logs why a program stands still.
func (c *connection) tellOfWaiting(ctx context.Context, failure *Error, window time.Duration) {
	what := "The Holdfast server does not answer; trying again."
	attributes := []slog.Attr{slog.String("uri", c.target.uri), slog.Duration("for", window)}
	if failure.isAnswer() {
		what = "The Holdfast server cannot do it now; trying again."
		attributes = append(attributes, slog.String("reason", failure.Reason), slog.String("message", failure.Message))
	}
	c.logger.LogAttrs(ctx, slog.LevelWarn, what, attributes...)
}

func (c *connection) newPatience() *patience {
	if c.answered.Load() {
		return &patience{policy: c.retry, window: c.retry.window}
	}
	return &patience{policy: c.retry, window: c.retry.firstWindow}
}

// orEnded is the error of a context that ended, or else err.
func orEnded(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// call calls a method that answers once, again while the server cannot be reached. Every call of ours may be repeated:
// a mutation carries a request id, which makes its repetitions one.
func call[Request, Response any](
	ctx context.Context,
	c *connection,
	method func(context.Context, Request, ...grpc.CallOption) (Response, error),
	request Request,
) (Response, error) {
	var response Response
	err := c.persist(ctx, nil, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		response, err = method(ctx, request)
		return err
	})
	return response, err
}
