package holdfast

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	errorDomain  = "holdfast"
	requestIDKey = "x-holdfast-request-id"
	// Longest pause that a server's RetryInfo can ask for.
	maxToldDelay = time.Minute
)

// Error is what a server refused, or what this client found wrong by itself. Use [errors.As] to get at it, and
// [errors.Is] with [ErrNotFound] and its kin to tell kinds of errors apart.
//
// Local files that are not there or cannot be read are errors of package os, or a [*LocalFileError].
type Error struct {
	// Code is the kind of error. It is DataLoss also where this client found that bytes do not have their digest.
	Code codes.Code
	// Reason is a name of the ErrorReason enum, such as "RUN_NOT_FOUND"; empty where there is none.
	Reason string
	// Message says what went wrong and what to do about it.
	Message string
	// Metadata is what the server adds, such as the names concerned.
	Metadata map[string]string
	// RequestID names the call in the server's log; empty when no server answered.
	RequestID string

	retryAfter time.Duration
	tls        bool
	cause      error
}

// Error is the message, and what to tell the one who has the server's log.
func (e *Error) Error() string {
	if e.RequestID == "" {
		return e.Message
	}
	return fmt.Sprintf("%s [request %s]", e.Message, e.RequestID)
}

// Unwrap is the context's error where that ended the call.
func (e *Error) Unwrap() error { return e.cause }

// Is reports whether target is the kind of this error, such as [ErrNotFound].
func (e *Error) Is(target error) bool {
	if target == ErrTLS {
		return e.tls
	}
	wanted, ok := target.(kind)
	return ok && codes.Code(wanted) == e.Code
}

// GRPCStatus lets package status of gRPC read this error, for those who call generated stubs.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// Kinds of errors, by the status of the call; docs/errors.md lists the reasons of each.
var (
	ErrInvalidArgument    error = kind(codes.InvalidArgument)
	ErrNotFound           error = kind(codes.NotFound)
	ErrAlreadyExists      error = kind(codes.AlreadyExists)
	ErrFailedPrecondition error = kind(codes.FailedPrecondition)
	// ErrConflict: somebody else changed it first; read it again, decide, and retry.
	ErrConflict          error = kind(codes.Aborted)
	ErrOutOfRange        error = kind(codes.OutOfRange)
	ErrPermissionDenied  error = kind(codes.PermissionDenied)
	ErrUnauthenticated   error = kind(codes.Unauthenticated)
	ErrResourceExhausted error = kind(codes.ResourceExhausted)
	ErrDeadlineExceeded  error = kind(codes.DeadlineExceeded)
	// ErrDataLoss: stored or received bytes do not have their digest.
	ErrDataLoss error = kind(codes.DataLoss)
	// ErrUnavailable: the server cannot be reached or is stopping, and stayed away for as long as calls are repeated.
	ErrUnavailable   error = kind(codes.Unavailable)
	ErrUnimplemented error = kind(codes.Unimplemented)
	ErrInternal      error = kind(codes.Internal)
	// ErrTLS is an ErrUnavailable that TLS explains; the message says what to change.
	ErrTLS = errors.New("no secure connection with these certificates and addresses")
)

type kind codes.Code

func (k kind) Error() string { return codes.Code(k).String() }

// LocalFileError is a local file that cannot be logged or written as asked.
type LocalFileError struct {
	Path    string
	Problem string
	Err     error // what the system said; may be nil
}

func (e *LocalFileError) Error() string {
	text := e.Path + " " + e.Problem
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

func (e *LocalFileError) Unwrap() error { return e.Err }

func invalid(reason, format string, arguments ...any) *Error {
	return &Error{Code: codes.InvalidArgument, Reason: reason, Message: fmt.Sprintf(format, arguments...)}
}

// damaged is the error for bytes that are not what they should be.
func damaged(path string) *Error {
	return &Error{
		Code:   codes.DataLoss,
		Reason: "DATA_LOSS",
		Message: fmt.Sprintf("What came for %q does not have its digest, and nothing of it was written. "+
			"Try again; if it stays so, the server's store is damaged.", path),
	}
}

// isInterruption tells whether the same may succeed later: the server went away, says when it wants to be asked again,
// or this side (a suspended laptop) was silent for too long.
func (e *Error) isInterruption() bool {
	return e.Code == codes.Unavailable || e.Reason == "IDLE" || e.retryAfter > 0
}

// isAnswer tells whether a server said it, though it is an interruption: it is busy, or its store is away.
func (e *Error) isAnswer() bool { return e.Reason != "" || e.retryAfter > 0 }

// translate says in Holdfast's terms what went wrong, with what the server told about it and what to do.
func translate(ctx context.Context, err error, trailer metadata.MD, target *target) error {
	answered, ok := status.FromError(err)
	if !ok {
		return err
	}
	failure := &Error{Code: answered.Code(), Message: answered.Message(), Metadata: map[string]string{}}
	readDetails(failure, answered)
	if ids := trailer.Get(requestIDKey); len(ids) > 0 {
		failure.RequestID = ids[0]
	} else {
		failure.RequestID = failure.Metadata["error_id"]
	}
	if ctx.Err() != nil && (failure.Code == codes.Canceled || failure.Code == codes.DeadlineExceeded) {
		failure.cause = ctx.Err()
	}
	if failure.cause == nil && failure.Reason == "" && isBroken(failure) {
		failure.Code = codes.Unavailable
	}
	if failure.Reason == "" { // with a reason it comes from our server, whose message says what to do by itself
		failure.Message = withAdvice(failure, target)
	}
	if failure.Code == codes.Unauthenticated && target.token != "" {
		failure.Message += " What was sent is the token of WithToken or " + tokenVariable + "."
	}
	return failure
}

// isBroken recognises what gRPC makes of a connection that breaks at the wrong moment, and of a server that stops in
// good order, but for texts that stay the same when the call is repeated.
func isBroken(failure *Error) bool {
	return failure.Code == codes.Canceled ||
		failure.Code == codes.Internal && !strings.HasPrefix(failure.Message, "grpc: ")
}

func readDetails(failure *Error, answered *status.Status) {
	for _, detail := range answered.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == errorDomain {
				failure.Reason = detail.GetReason()
				for key, value := range detail.GetMetadata() {
					failure.Metadata[key] = value
				}
			}
		case *errdetails.BadRequest:
			if violations := detail.GetFieldViolations(); len(violations) > 0 {
				failure.Metadata["field"] = violations[0].GetField()
			}
		case *errdetails.RetryInfo:
			if failure.Code == codes.ResourceExhausted || failure.Code == codes.Unavailable {
				told := detail.GetRetryDelay().AsDuration()
				failure.retryAfter = min(max(told, time.Millisecond), maxToldDelay)
			}
		}
	}
}

func withAdvice(failure *Error, target *target) string {
	advice := ""
	switch failure.Code {
	case codes.Unavailable:
		advice = fmt.Sprintf("No Holdfast server answers at %s: %s, or set %s to where it is.",
			target.uri, howToStart(target), uriVariable)
	case codes.DeadlineExceeded:
		advice = fmt.Sprintf("The server at %s did not answer in time; it may have done what was asked.", target.uri)
	case codes.Unimplemented:
		advice = fmt.Sprintf("The server at %s does not know this call: update it, or check the port.", target.uri)
	case codes.ResourceExhausted:
		advice = "A message is larger than gRPC's limit; send less at once."
	default:
		return failure.Message
	}
	return fmt.Sprintf("%s (%s)", advice, failure.Message)
}

func howToStart(target *target) string {
	switch {
	case target.socket != "":
		return "start one there"
	case target.loopback:
		return fmt.Sprintf("start one with `holdfast server --port %d`", target.port)
	default:
		return fmt.Sprintf("start one on %s with `holdfast server --port %d`", target.host, target.port)
	}
}
