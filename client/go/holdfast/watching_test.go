package holdfast

import (
	"context"
	"errors"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "holdfast/client/go/holdfast/v1"
)

type watchStream = grpc.ServerStreamingServer[pb.WatchRegisteredModelResponse]

func tellState(stream watchStream, cursor string) error {
	return stream.Send(&pb.WatchRegisteredModelResponse{
		Cursor: cursor,
		Part: &pb.WatchRegisteredModelResponse_RegisteredModel{RegisteredModel: &pb.RegisteredModel{
			Name: "ocr", Aliases: []*pb.Alias{{Alias: "prod", Version: 1}},
		}},
	})
}

func tellEvent(stream watchStream, cursor string, event *pb.Event) error {
	return stream.Send(&pb.WatchRegisteredModelResponse{
		Cursor: cursor, Part: &pb.WatchRegisteredModelResponse_Event{Event: event},
	})
}

func TestAWatchGoesOnWhereItWasUntilTheModelIsDeleted(t *testing.T) {
	server := &fakeServer{}
	server.watch = func(n int, request *pb.WatchRegisteredModelRequest, stream watchStream) error {
		if n == 1 {
			return errors.Join(tellState(stream, "1"), status.Error(codes.Unavailable, "the connection broke"))
		}
		if request.GetCursor() != "1" {
			return status.Errorf(codes.Internal, "the cursor is %q", request.GetCursor())
		}
		moved := &pb.Event{
			Subject: pb.EventSubject_EVENT_SUBJECT_ALIAS, Type: pb.EventType_EVENT_TYPE_UPDATED, Alias: "prod", Version: 2,
		}
		deleted := &pb.Event{
			Subject: pb.EventSubject_EVENT_SUBJECT_REGISTERED_MODEL, Type: pb.EventType_EVENT_TYPE_DELETED, Name: "ocr",
		}
		return errors.Join(tellEvent(stream, "2", moved), tellEvent(stream, "3", deleted))
	}
	client := server.serve(t)
	var told []Event
	for event, err := range client.WatchModel(context.Background(), "ocr") {
		if err != nil {
			t.Fatal(err)
		}
		told = append(told, event)
	}
	if len(told) != 3 || told[0].Model.Aliases["prod"] != 1 || told[1].Version != 2 || told[1].Subject != "ALIAS" ||
		told[2].Type != "DELETED" || told[2].Cursor != "3" {
		t.Errorf("%+v", told)
	}
}

func TestAWatchIsLeftWithTheLoopOverIt(t *testing.T) {
	server := &fakeServer{}
	ended := make(chan struct{})
	server.watch = func(_ int, _ *pb.WatchRegisteredModelRequest, stream watchStream) error {
		defer close(ended)
		err := tellState(stream, "1")
		<-stream.Context().Done()
		return err
	}
	client := server.serve(t)
	for range client.WatchModel(context.Background(), "ocr") {
		break
	}
	<-ended
}

func TestAnErrorEndsAWatch(t *testing.T) {
	server := &fakeServer{}
	server.watch = func(int, *pb.WatchRegisteredModelRequest, watchStream) error {
		return status.Error(codes.NotFound, "There is no model 'ocr'.")
	}
	client := server.serve(t)
	count := 0
	for _, err := range client.WatchModel(context.Background(), "ocr") {
		if count++; !errors.Is(err, ErrNotFound) {
			t.Errorf("the error is %v", err)
		}
	}
	if count != 1 {
		t.Errorf("%d events", count)
	}
}
