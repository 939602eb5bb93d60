package holdfast

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	pb "holdfast/client/go/holdfast/v1"
)

// Event is what a watch tells: first how what is watched is, then each change.
type Event struct {
	// Cursor goes with [After], to go on behind this event later, also in another process.
	Cursor string
	// Type is what happened, such as "CREATED", "UPDATED", "METRICS", "DELETED"; "STATE" for the first event. Pass over
	// those that you do not know; later servers may have more.
	Type string
	// Subject is what changed, such as "RUN", "REGISTERED_MODEL", "MODEL_VERSION" or "ALIAS".
	Subject string
	// Model is the registered model as it is, of the first event of WatchModel.
	Model *RegisteredModel
	// Run is the run as it is, of the first event of WatchRun.
	Run *RunInfo
	// Time is when the server recorded the change.
	Time time.Time
	// Name is that of the registered model at that time.
	Name string
	// Alias is that which changed; Version is what it names since, 0 when it was removed. Version is also that of a version
	// that changed.
	Alias   string
	Version int64
	// Changes and Metrics are at most 100 each; Truncated says that more was left out.
	Changes   []Change
	Metrics   []Metric
	Truncated bool
}

// Change is one thing that is not as it was.
type Change struct {
	Field    string  // such as "status" or "tags.<key>"
	OldValue *string // nil: nothing, or not recorded
	NewValue *string // nil: it was removed
}

// WatchOption narrows a watch.
type WatchOption func(*watchSettings)

type watchSettings struct{ cursor, alias string }

// After goes on behind an event of the same watch, by its Cursor; there is no first event with the state then.
func After(cursor string) WatchOption { return func(s *watchSettings) { s.cursor = cursor } }

// OnlyAlias tells of this alias alone, besides a new name and the end of the registered model.
func OnlyAlias(alias string) WatchOption { return func(s *watchSettings) { s.alias = alias } }

// WatchModel watches a registered model with its versions and aliases, also under another name, until it is deleted, the
// context ends, or the loop over it is left. It goes on where it was when the connection breaks or the server is
// restarted, and looks for a server that is away until it is back; no event is missed or repeated. An error ends it.
func (c *Client) WatchModel(ctx context.Context, name string, options ...WatchOption) iter.Seq2[Event, error] {
	given := watchSettings{}
	for _, option := range options {
		option(&given)
	}
	request := &pb.WatchRegisteredModelRequest{Name: name, Alias: given.alias, Cursor: given.cursor}
	open := func(ctx context.Context, cursor string) (grpc.ServerStreamingClient[pb.WatchRegisteredModelResponse], error) {
		request.Cursor = cursor
		return c.registry().WatchRegisteredModel(ctx, request)
	}
	return follow(ctx, c.conn, given.cursor, open, func(response *pb.WatchRegisteredModelResponse) (Event, bool) {
		if state := response.GetRegisteredModel(); state != nil {
			return Event{Type: "STATE", Subject: "REGISTERED_MODEL", Name: state.GetName(), Model: registeredModel(state)}, false
		}
		changed := response.GetEvent()
		return eventFromProto(changed), changed.GetSubject() == pb.EventSubject_EVENT_SUBJECT_REGISTERED_MODEL &&
			changed.GetType() == pb.EventType_EVENT_TYPE_DELETED
	})
}

// WatchRun watches a run: status, params, tags, metrics, links and artifacts, until it is purged, the context ends, or the
// loop over it is left; as WatchModel does.
func (c *Client) WatchRun(ctx context.Context, id string, options ...WatchOption) iter.Seq2[Event, error] {
	given := watchSettings{}
	for _, option := range options {
		option(&given)
	}
	open := func(ctx context.Context, cursor string) (grpc.ServerStreamingClient[pb.WatchRunResponse], error) {
		return c.runs().WatchRun(ctx, &pb.WatchRunRequest{RunId: id, Cursor: cursor})
	}
	return follow(ctx, c.conn, given.cursor, open, func(response *pb.WatchRunResponse) (Event, bool) {
		if state := response.GetRun(); state != nil {
			return Event{Type: "STATE", Subject: "RUN", Run: runInfo(state), Truncated: state.GetTruncated()}, false
		}
		changed := response.GetEvent()
		return eventFromProto(changed), changed.GetSubject() == pb.EventSubject_EVENT_SUBJECT_RUN &&
			changed.GetType() == pb.EventType_EVENT_TYPE_PURGED
	})
}

// watchMessage is a part of a watch of any kind.
type watchMessage interface {
	GetCursor() string
	GetHeartbeat() *pb.WatchHeartbeat
}

// follow tells what a watch brings, over any number of streams; event is what a message tells, and whether it is the last.
func follow[Message any, Pointer interface {
	*Message
	watchMessage
}](
	ctx context.Context, c *connection, cursor string,
	open func(context.Context, string) (grpc.ServerStreamingClient[Message], error),
	event func(Pointer) (Event, bool),
) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		pauses := &patience{policy: c.retry, window: forever}
		// One stream; false when the watch is over.
		read := func(ctx context.Context) (bool, error) {
			ctx, cancel := context.WithCancel(ctx)
			defer cancel()
			var stream grpc.ServerStreamingClient[Message]
			var message *Message
			// A stream that was opened is known to go on when its first message came.
			err := c.persist(ctx, nil, func(ctx context.Context) (err error) {
				if stream, err = open(ctx, cursor); err == nil {
					message, err = stream.Recv()
				}
				return err
			})
			if errors.Is(err, io.EOF) && cursor != "" {
				return false, nil // a watch that has an end, and whose cursor stands behind it
			}
			for ; err == nil; message, err = stream.Recv() {
				pauses = &patience{policy: c.retry, window: forever}
				part := Pointer(message)
				cursor = part.GetCursor()
				if part.GetHeartbeat() != nil {
					continue
				}
				told, isLast := event(part)
				told.Cursor = cursor
				if !yield(told, nil) || isLast {
					return false, nil
				}
			}
			if errors.Is(err, io.EOF) {
				err = &Error{Code: codes.Unavailable, Message: "The server ended the stream early."}
			}
			return true, err
		}
		for {
			goesOn, err := read(ctx)
			if !goesOn {
				return
			}
			var failure *Error
			// Without a cursor nobody was ever there: the address is more likely wrong than the server away.
			isLasting := !errors.As(err, &failure) || !failure.isInterruption() || cursor == ""
			if isLasting || !pauses.pause(ctx, failure.retryAfter) {
				yield(Event{}, orEnded(ctx, err))
				return
			}
		}
	}
}

func eventFromProto(event *pb.Event) Event {
	told := Event{
		Type:      strings.TrimPrefix(event.GetType().String(), "EVENT_TYPE_"),
		Subject:   strings.TrimPrefix(event.GetSubject().String(), "EVENT_SUBJECT_"),
		Time:      timeFromProto(event.GetTime()),
		Name:      event.GetName(),
		Alias:     event.GetAlias(),
		Version:   event.GetVersion(),
		Truncated: event.GetTruncated(),
	}
	for _, change := range event.GetChanges() {
		told.Changes = append(told.Changes, Change{change.GetField(), change.OldValue, change.NewValue})
	}
	for _, metric := range event.GetMetrics() {
		told.Metrics = append(told.Metrics, Metric{
			Key: metric.GetKey(), Value: metric.GetValue(), Step: metric.GetStep(), Time: timeFromProto(metric.GetTimestamp()),
		})
	}
	return told
}
