package holdfast

import (
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	pb "holdfast/client/go/holdfast/v1"
)

// refusal is a server's option: it refuses all calls but the first, which Connect makes.
func refusal(code codes.Code, details ...protoadapt.MessageV1) grpc.ServerOption {
	calls := 0
	return grpc.UnaryInterceptor(func(
		ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
	) (any, error) {
		if calls++; calls == 1 {
			return handle(ctx, request)
		}
		refused, err := status.New(code, "That cannot be.").WithDetails(details...)
		if err != nil {
			return nil, err
		}
		return nil, errors.Join(grpc.SetTrailer(ctx, metadata.Pairs(requestIDKey, "request-1")), refused.Err())
	})
}

func TestARefusalHasTheReasonTheMetadataAndTheRequestIDOfTheServer(t *testing.T) {
	client := (&fakeServer{}).serve(t, refusal(codes.NotFound,
		&errdetails.ErrorInfo{Domain: "holdfast", Reason: "RUN_NOT_FOUND", Metadata: map[string]string{"run_id": "x"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "run_id"}}},
	))
	_, err := client.Run("x").Info(context.Background())
	var refused *Error
	if !errors.As(err, &refused) || !errors.Is(err, ErrNotFound) || errors.Is(err, ErrConflict) {
		t.Fatalf("the error is %v", err)
	}
	if refused.Reason != "RUN_NOT_FOUND" || refused.RequestID != "request-1" || refused.Metadata["run_id"] != "x" ||
		refused.Metadata["field"] != "run_id" {
		t.Errorf("%+v", refused)
	}
	if status.Code(err) != codes.NotFound {
		t.Errorf("to those who know gRPC it is %v", status.Code(err))
	}
}

func TestErrorsOfGeneratedStubsAreTypedToo(t *testing.T) {
	client := (&fakeServer{}).serve(t, refusal(codes.Aborted,
		&errdetails.ErrorInfo{Domain: "holdfast", Reason: "CONFLICT"}))
	_, err := pb.NewRunServiceClient(client.Conn()).GetRun(context.Background(), &pb.GetRunRequest{})
	if !errors.Is(err, ErrConflict) {
		t.Errorf("the error is %v", err)
	}
}

func TestAServerThatIsBusyIsAskedAgainWhenItSays(t *testing.T) {
	calls := 0
	client := (&fakeServer{}).serve(t, grpc.UnaryInterceptor(func(
		ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
	) (any, error) {
		if calls++; calls != 2 {
			return handle(ctx, request)
		}
		busy, err := status.New(codes.ResourceExhausted, "Too many calls.").WithDetails(
			&errdetails.ErrorInfo{Domain: "holdfast", Reason: "RESOURCE_EXHAUSTED"},
			&errdetails.RetryInfo{RetryDelay: durationpb.New(time.Millisecond)})
		if err != nil {
			return nil, err
		}
		return nil, busy.Err()
	}))
	if _, err := findMissing(context.Background(), client.conn, []Digest{{}}); err != nil || calls != 3 {
		t.Errorf("%v after %d calls", err, calls)
	}
}

func TestAQuotaIsNotAskedForAgain(t *testing.T) {
	client := (&fakeServer{}).serve(t, refusal(codes.ResourceExhausted,
		&errdetails.ErrorInfo{Domain: "holdfast", Reason: "WORKER_BUDGET_EXHAUSTED"}))
	if _, err := client.Run("x").Info(context.Background()); !errors.Is(err, ErrResourceExhausted) {
		t.Errorf("the error is %v", err)
	}
}

func TestACanceledCallEndsWithTheContextsError(t *testing.T) {
	client := (&fakeServer{}).serve(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := client.Run("x").Info(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
}

func TestWhereNobodyEverAnsweredAnErrorSaysHowToStartAServer(t *testing.T) {
	ctx := context.Background()
	_, err := Connect(ctx, "holdfast://127.0.0.1:1", WithPatience(10*time.Millisecond), quiet())
	if !errors.Is(err, ErrUnavailable) {
		t.Errorf("the error is %v", err)
	}
}

func TestPausesEndWithTheirWindow(t *testing.T) {
	pauses := &patience{policy: retryPolicy{initialDelay: time.Microsecond, maxDelay: time.Microsecond}, window: time.Millisecond}
	count := 0
	for pauses.pause(context.Background(), 0) {
		count++
	}
	if count == 0 {
		t.Error("there was no second attempt")
	}
	if pauses.pause(context.Background(), time.Hour) {
		t.Error("a server's hour was waited for")
	}
}
