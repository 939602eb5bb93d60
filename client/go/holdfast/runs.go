package holdfast

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "holdfast/client/go/holdfast/v1"
)

const (
	// What one request takes at most; see run_service.proto.
	maxBatchMetrics = 1_000
	maxBatchTexts   = 100
	// A little less than the 1 MiB that a request may have, for what stands around the items.
	maxBatchBytes = 900_000
)

// RunStatus is where a run stands.
type RunStatus string

// Statuses of runs.
const (
	Running   RunStatus = "RUNNING"
	Scheduled RunStatus = "SCHEDULED"
	Finished  RunStatus = "FINISHED"
	Failed    RunStatus = "FAILED"
	Killed    RunStatus = "KILLED"
)

const runStatusPrefix = "RUN_STATUS_"

// Run logs to one run. Everything that returns is durable at the server.
type Run struct {
	// ID is 32 hex digits.
	ID string

	client *Client
}

// RunInfo is a run as it was when it was read.
type RunInfo struct {
	ID           string
	ExperimentID string
	Name         string
	UserID       string
	Status       RunStatus
	Deleted      bool
	Lost         bool // it is RUNNING, and its client does not renew the lease that it took
	StartTime    time.Time
	EndTime      time.Time // zero while it goes on
	Params       map[string]string
	Tags         map[string]string
	// Metrics has the newest value of each, by step, then time.
	Metrics map[string]float64
}

// RunOption describes a new run.
type RunOption func(*pb.CreateRunRequest)

// WithRunName names the run; the server makes a name up without it.
func WithRunName(name string) RunOption {
	return func(request *pb.CreateRunRequest) { request.RunName = name }
}

// WithRunTags sets labels of the run, at most 100.
func WithRunTags(tags map[string]string) RunOption {
	return func(request *pb.CreateRunRequest) { request.Tags = tagsToProto(tags) }
}

// CreateRun starts a run in an experiment. It has no lease, so it is never marked as lost.
func (c *Client) CreateRun(ctx context.Context, experimentID string, options ...RunOption) (*Run, error) {
	request := &pb.CreateRunRequest{
		ExperimentId: experimentID, UserId: c.userID, StartTime: timestamppb.Now(), RequestId: newID(),
	}
	for _, option := range options {
		option(request)
	}
	response, err := call(ctx, c.conn, c.runs().CreateRun, request)
	if err != nil {
		return nil, err
	}
	return c.Run(response.GetRun().GetRunId()), nil
}

// Run is the run of an id, which is not looked up.
func (c *Client) Run(id string) *Run { return &Run{ID: id, client: c} }

// Info reads the run whole, deleted or not.
func (r *Run) Info(ctx context.Context) (*RunInfo, error) {
	whole := &pb.Run{}
	request := &pb.GetRunRequest{RunId: r.ID}
	for {
		page, err := call(ctx, r.client.conn, r.client.runs().GetRun, request)
		if err != nil {
			return nil, err
		}
		// Merging appends lists, which is how pages of a run continue each other.
		proto.Merge(whole, page.GetRun())
		if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
			return runInfo(whole), nil
		}
	}
}

// LogParam logs an input of the run. The same value again is fine; another one is ErrInvalidArgument.
func (r *Run) LogParam(ctx context.Context, key, value string) error {
	return r.LogParams(ctx, map[string]string{key: value})
}

// LogParams logs inputs of the run, 100 at a time; none of its hundred is kept when one has another value already.
func (r *Run) LogParams(ctx context.Context, params map[string]string) error {
	items := make([]*pb.Param, 0, len(params))
	for _, key := range slices.Sorted(maps.Keys(params)) {
		items = append(items, &pb.Param{Key: key, Value: params[key]})
	}
	return inBatches(items, maxBatchTexts, func(some []*pb.Param) error {
		return r.log(ctx, &pb.LogBatchRequest{Params: some})
	})
}

// SetTag sets a label of the run.
func (r *Run) SetTag(ctx context.Context, key, value string) error {
	return r.SetTags(ctx, map[string]string{key: value})
}

// SetTags sets labels of the run, 100 at a time.
func (r *Run) SetTags(ctx context.Context, tags map[string]string) error {
	return inBatches(tagsToProto(tags), maxBatchTexts, func(some []*pb.Tag) error {
		return r.log(ctx, &pb.LogBatchRequest{Tags: some})
	})
}

// LogArtifact puts a file at <folder>/<its name>, or a directory with its tree below that; folder "" is the root. All of
// it becomes visible at once. Only what the server lacks is sent, also after an interruption, however that came about.
func (r *Run) LogArtifact(ctx context.Context, path, folder string, options ...UploadOption) error {
	sources, err := findPath(path, folder, options)
	if err != nil {
		return err
	}
	return upload(ctx, r.client.conn, r.owner(), sources)
}

// LogArtifacts puts what is in a local directory below folder, as LogArtifact does.
func (r *Run) LogArtifacts(ctx context.Context, directory, folder string, options ...UploadOption) error {
	sources, err := findContents(directory, folder, options)
	if err != nil {
		return err
	}
	return upload(ctx, r.client.conn, r.owner(), sources)
}

// ListArtifacts lists one level of a directory of the run; path "" is the root.
func (r *Run) ListArtifacts(ctx context.Context, path string) ([]Entry, error) {
	return r.client.ListArtifacts(ctx, r.ArtifactURI(path))
}

// ArtifactURI names an artifact of the run, for [Client.Download] and [Client.RegisterModel].
func (r *Run) ArtifactURI(path string) string { return joinPath("runs:/"+r.ID, path) }

// Finish ends the run. It can still be written to.
func (r *Run) Finish(ctx context.Context, status RunStatus) error {
	number, isKnown := pb.RunStatus_value[runStatusPrefix+string(status)]
	if !isKnown || number == 0 {
		return invalid("INVALID_VALUE", "A run ends FINISHED, FAILED or KILLED, not %q.", status)
	}
	request := &pb.UpdateRunRequest{
		RunId: r.ID, Status: pb.RunStatus(number), EndTime: timestamppb.Now(), RequestId: newID(),
	}
	_, err := call(ctx, r.client.conn, r.client.runs().UpdateRun, request)
	return err
}

func (r *Run) owner() *pb.TreeOwner { return &pb.TreeOwner{Owner: &pb.TreeOwner_RunId{RunId: r.ID}} }

func (r *Run) log(ctx context.Context, request *pb.LogBatchRequest) error {
	request.RunId, request.RequestId = r.ID, newID()
	_, err := call(ctx, r.client.conn, r.client.runs().LogBatch, request)
	return err
}

func runInfo(run *pb.Run) *RunInfo {
	info := &RunInfo{
		ID:           run.GetRunId(),
		ExperimentID: run.GetExperimentId(),
		Name:         run.GetRunName(),
		UserID:       run.GetUserId(),
		Status:       RunStatus(strings.TrimPrefix(run.GetStatus().String(), runStatusPrefix)),
		Deleted:      run.GetLifecycleStage() == pb.LifecycleStage_LIFECYCLE_STAGE_DELETED,
		Lost:         run.GetLost(),
		StartTime:    timeFromProto(run.GetStartTime()),
		EndTime:      timeFromProto(run.GetEndTime()),
		Params:       make(map[string]string, len(run.GetParams())),
		Tags:         tagsFromProto(run.GetTags()),
		Metrics:      make(map[string]float64, len(run.GetMetrics())),
	}
	for _, param := range run.GetParams() {
		info.Params[param.GetKey()] = param.GetValue()
	}
	for _, metric := range run.GetMetrics() {
		info.Metrics[metric.GetKey()] = metric.GetValue()
	}
	return info
}

// timeFromProto is zero where there is no time.
func timeFromProto(at *timestamppb.Timestamp) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.AsTime()
}

func tagsToProto(tags map[string]string) []*pb.Tag {
	items := make([]*pb.Tag, 0, len(tags))
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		items = append(items, &pb.Tag{Key: key, Value: tags[key]})
	}
	return items
}

// inBatches hands items over, so many at a time at most, and each time few enough for one request.
func inBatches[Item proto.Message](items []Item, most int, send func([]Item) error) error {
	for len(items) > 0 {
		count, size := 0, 0
		for count < min(most, len(items)) {
			size += proto.Size(items[count])
			if count > 0 && size > maxBatchBytes {
				break
			}
			count++
		}
		if err := send(items[:count]); err != nil {
			return err
		}
		items = items[count:]
	}
	return nil
}
