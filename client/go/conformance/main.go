// Command driver does for the conformance suite what it is told, with the Go client alone; see
// client/conformance/README.md for what it reads and writes.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"google.golang.org/grpc/codes"

	"holdfast/client/go/holdfast"
)

func main() {
	if err := serve(context.Background(), os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// serve answers one request after the other until there are no more. An error is what no client raises.
func serve(ctx context.Context, requests io.Reader, answers io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input := readRequests(ctx, requests)
	driver := &driver{watching: input.open}
	defer driver.close()
	encoder := json.NewEncoder(answers)
	for request := range input.requests {
		answer, err := driver.do(ctx, request)
		if err != nil {
			if input.open.Err() != nil && errors.Is(err, context.Canceled) {
				break // nobody waits for the next event any more
			}
			return err
		}
		if err := encoder.Encode(answer); err != nil {
			return err
		}
	}
	return input.err
}

// input is what comes from standard input.
type input struct {
	requests chan json.RawMessage
	open     context.Context // ends with the input, also while a request waits
	err      error           // why requests ended, unless the input did
}

func readRequests(ctx context.Context, from io.Reader) *input {
	open, end := context.WithCancel(ctx)
	in := &input{requests: make(chan json.RawMessage), open: open}
	decoder := json.NewDecoder(bufio.NewReader(from))
	go func() {
		defer close(in.requests)
		defer end()
		for {
			var request json.RawMessage
			if err := decoder.Decode(&request); err != nil {
				if !errors.Is(err, io.EOF) {
					in.err = err
				}
				return
			}
			select {
			case in.requests <- request:
			case <-ctx.Done():
				return
			}
		}
	}()
	return in
}

// do is the answer to one request.
func (d *driver) do(ctx context.Context, request []byte) (any, error) {
	var named struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(request, &named); err != nil {
		return nil, err
	}
	operation, isKnown := operations[named.Op]
	if !isKnown {
		return nil, fmt.Errorf("unknown op %q", named.Op)
	}
	done, err := operation(ctx, d, request)
	if err == nil {
		return map[string]any{"ok": done}, nil
	}
	failure, err := failureOf(err)
	if err != nil {
		return nil, err
	}
	return map[string]any{"error": failure}, nil
}

// failure is an error of the client.
type failure struct {
	Code      string `json:"code"`
	Reason    string `json:"reason"`
	Message   string `json:"message"`
	RequestID string `json:"request_id"`
}

// failureOf tells errors that the client raises from others, which are returned.
func failureOf(err error) (failure, error) {
	var refused *holdfast.Error
	var local *holdfast.LocalFileError
	switch {
	case errors.As(err, &refused):
		name, err := codeName(refused.Code)
		return failure{name, refused.Reason, refused.Message, refused.RequestID}, err
	case errors.Is(err, fs.ErrNotExist):
		return failure{Code: "NOT_FOUND", Message: err.Error()}, nil
	case errors.As(err, &local):
		return failure{Code: "FAILED_PRECONDITION", Message: err.Error()}, nil
	default:
		return failure{}, err
	}
}

var codeNames = map[codes.Code]string{
	codes.Canceled:           "CANCELLED",
	codes.Unknown:            "UNKNOWN",
	codes.InvalidArgument:    "INVALID_ARGUMENT",
	codes.DeadlineExceeded:   "DEADLINE_EXCEEDED",
	codes.NotFound:           "NOT_FOUND",
	codes.AlreadyExists:      "ALREADY_EXISTS",
	codes.PermissionDenied:   "PERMISSION_DENIED",
	codes.ResourceExhausted:  "RESOURCE_EXHAUSTED",
	codes.FailedPrecondition: "FAILED_PRECONDITION",
	codes.Aborted:            "ABORTED",
	codes.OutOfRange:         "OUT_OF_RANGE",
	codes.Unimplemented:      "UNIMPLEMENTED",
	codes.Internal:           "INTERNAL",
	codes.Unavailable:        "UNAVAILABLE",
	codes.DataLoss:           "DATA_LOSS",
	codes.Unauthenticated:    "UNAUTHENTICATED",
}

func codeName(code codes.Code) (string, error) {
	name, isKnown := codeNames[code]
	if !isKnown {
		return "", fmt.Errorf("an error with the status %v", code)
	}
	return name, nil
}
