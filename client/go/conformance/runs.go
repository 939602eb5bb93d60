package main

import (
	"context"
	"time"

	"holdfast/client/go/holdfast"
)

type runArguments struct {
	RunID        string `json:"run_id"`
	ExperimentID string `json:"experiment_id"`
	Name         string `json:"name"`
	Status       string `json:"status"`
	Key          string `json:"key"`
}

func createRun(ctx context.Context, d *driver, a runArguments) (any, error) {
	run, err := d.client.CreateRun(ctx, a.ExperimentID, holdfast.WithRunName(a.Name))
	if err != nil {
		return nil, err
	}
	return map[string]any{"run_id": run.ID}, nil
}

func finishRun(ctx context.Context, d *driver, a runArguments) (any, error) {
	return nothing, d.client.Run(a.RunID).Finish(ctx, holdfast.RunStatus(a.Status))
}

type textArguments struct {
	RunID  string            `json:"run_id"`
	Params map[string]string `json:"params"`
	Tags   map[string]string `json:"tags"`
}

func logParams(ctx context.Context, d *driver, a textArguments) (any, error) {
	return nothing, d.client.Run(a.RunID).LogParams(ctx, a.Params)
}

func setTags(ctx context.Context, d *driver, a textArguments) (any, error) {
	return nothing, d.client.Run(a.RunID).SetTags(ctx, a.Tags)
}

type point struct {
	Key       string `json:"key,omitempty"`
	Value     value  `json:"value"`
	Step      int64  `json:"step"`
	Timestamp *int64 `json:"timestamp"`
}

type metricArguments struct {
	RunID   string  `json:"run_id"`
	Metrics []point `json:"metrics"`
}

func logMetrics(ctx context.Context, d *driver, a metricArguments) (any, error) {
	metrics := make([]holdfast.Metric, len(a.Metrics))
	for i, given := range a.Metrics {
		metrics[i] = holdfast.Metric{Key: given.Key, Value: float64(given.Value), Step: given.Step}
		if given.Timestamp != nil {
			metrics[i].Time = time.UnixMilli(*given.Timestamp)
		}
	}
	return nothing, d.client.Run(a.RunID).LogMetrics(ctx, metrics)
}

func getRun(ctx context.Context, d *driver, a runArguments) (any, error) {
	info, err := d.client.Run(a.RunID).Info(ctx)
	if err != nil {
		return nil, err
	}
	metrics := map[string]value{}
	for key, latest := range info.Metrics {
		metrics[key] = value(latest)
	}
	return map[string]any{
		"run_id": info.ID, "experiment_id": info.ExperimentID, "name": info.Name, "status": string(info.Status),
		"params": info.Params, "tags": info.Tags, "metrics": metrics,
	}, nil
}

func metricHistory(ctx context.Context, d *driver, a runArguments) (any, error) {
	points := []point{}
	for metric, err := range d.client.Run(a.RunID).MetricHistory(ctx, a.Key) {
		if err != nil {
			return nil, err
		}
		timestamp := metric.Time.UnixMilli()
		points = append(points, point{Value: value(metric.Value), Step: metric.Step, Timestamp: &timestamp})
	}
	return map[string]any{"points": points}, nil
}
