package holdfast

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "holdfast/client/go/holdfast/v1"
)

// Metric is one measured point.
type Metric struct {
	Key string
	// Value is any number; NaN and infinities are kept exactly.
	Value float64
	// Step is the position in training; it may be negative.
	Step int64
	// Time is when it was measured, kept in milliseconds; zero means now.
	Time time.Time
}

// LogMetric logs a point that was measured now, in one call; for many points LogMetrics is faster.
func (r *Run) LogMetric(ctx context.Context, key string, value float64, step int64) error {
	return r.LogMetrics(ctx, []Metric{{Key: key, Value: value, Step: step}})
}

// LogMetrics logs points, 1,000 at a time.
func (r *Run) LogMetrics(ctx context.Context, metrics []Metric) error {
	now := time.Now()
	items := make([]*pb.Metric, len(metrics))
	for i, metric := range metrics {
		at := metric.Time
		if at.IsZero() {
			at = now
		}
		items[i] = &pb.Metric{Key: metric.Key, Value: metric.Value, Step: metric.Step, Timestamp: timestamppb.New(at)}
	}
	return inBatches(items, maxBatchMetrics, func(some []*pb.Metric) error {
		return r.log(ctx, &pb.LogBatchRequest{Metrics: some})
	})
}

// MetricHistory goes through all points of a metric, in order of step, time and arrival. An error ends it.
func (r *Run) MetricHistory(ctx context.Context, key string) iter.Seq2[Metric, error] {
	return func(yield func(Metric, error) bool) {
		request := &pb.ListMetricHistoryRequest{RunId: r.ID, Key: key}
		for {
			page, err := call(ctx, r.client.conn, r.client.runs().ListMetricHistory, request)
			if err != nil {
				yield(Metric{}, err)
				return
			}
			for _, point := range page.GetMetrics() {
				metric := Metric{
					Key: point.GetKey(), Value: point.GetValue(), Step: point.GetStep(), Time: timeFromProto(point.GetTimestamp()),
				}
				if !yield(metric, nil) {
					return
				}
			}
			if request.PageToken = page.GetNextPageToken(); request.PageToken == "" {
				return
			}
		}
	}
}
