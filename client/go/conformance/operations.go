package main

import (
	"context"
	"encoding/json"
	"errors"
	"iter"

	"holdfast/client/go/holdfast"
)

// driver is what the requests of one program share.
type driver struct {
	watching  context.Context // of watches
	client    *holdfast.Client
	nextEvent func() (holdfast.Event, error, bool)
	stopWatch func()
}

type operation func(ctx context.Context, d *driver, request []byte) (any, error)

// op makes an operation of a function that takes the arguments of a request as a struct.
func op[Arguments any](do func(context.Context, *driver, Arguments) (any, error)) operation {
	return func(ctx context.Context, d *driver, request []byte) (any, error) {
		var arguments Arguments
		if err := json.Unmarshal(request, &arguments); err != nil {
			return nil, err
		}
		return do(ctx, d, arguments)
	}
}

var nothing = struct{}{}

var operations = map[string]operation{
	"connect":           op(connect),
	"file_digest":       op(fileDigest),
	"tree_digest":       op(treeDigest),
	"create_experiment": op(createExperiment),
	"create_run":        op(createRun),
	"log_params":        op(logParams),
	"set_tags":          op(setTags),
	"log_metrics":       op(logMetrics),
	"finish_run":        op(finishRun),
	"get_run":           op(getRun),
	"metric_history":    op(metricHistory),
	"log_artifact":      op(logArtifact),
	"log_artifacts":     op(logArtifacts),
	"list_artifacts":    op(listArtifacts),
	"download":          op(download),
	"read_range":        op(readRange),
	"log_model":         op(logModel),
	"register_model":    op(registerModel),
	"set_alias":         op(setAlias),
	"get_alias":         op(getAlias),
	"watch_model":       op(watchModel),
	"next_alias_change": op(nextAliasChange),
	"close":             op(closeClient),
}

type connectArguments struct {
	URI    string `json:"uri"`
	Token  string `json:"token"`
	CAFile string `json:"ca_file"`
}

func connect(ctx context.Context, d *driver, a connectArguments) (any, error) {
	d.close()
	client, err := holdfast.Connect(ctx, a.URI, holdfast.WithToken(a.Token), holdfast.WithCAFile(a.CAFile))
	if err != nil {
		return nil, err
	}
	d.client = client
	return map[string]any{"server_version": client.ServerVersion()}, nil
}

func closeClient(_ context.Context, d *driver, _ struct{}) (any, error) {
	d.close()
	return nothing, nil
}

func (d *driver) close() {
	if d.stopWatch != nil {
		d.stopWatch()
	}
	if d.client != nil {
		_ = d.client.Close()
	}
	*d = driver{watching: d.watching}
}

type nameArguments struct {
	Name string `json:"name"`
}

func createExperiment(ctx context.Context, d *driver, a nameArguments) (any, error) {
	experiment, err := d.client.CreateExperiment(ctx, a.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"experiment_id": experiment.ID}, nil
}

type modelArguments struct {
	RunID    string `json:"run_id"`
	Name     string `json:"name"`
	LocalDir string `json:"local_dir"`
}

func logModel(ctx context.Context, d *driver, a modelArguments) (any, error) {
	model, err := d.client.Run(a.RunID).LogModel(ctx, a.LocalDir, a.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{"model_id": model.ID, "model_uri": model.URI()}, nil
}

type registerArguments struct {
	Name     string `json:"name"`
	ModelURI string `json:"model_uri"`
}

func registerModel(ctx context.Context, d *driver, a registerArguments) (any, error) {
	version, err := d.client.RegisterModel(ctx, a.Name, a.ModelURI)
	if err != nil {
		return nil, err
	}
	return map[string]any{"version": number(version.Version)}, nil
}

type aliasArguments struct {
	Name            string  `json:"name"`
	Alias           string  `json:"alias"`
	Version         number  `json:"version"`
	ExpectedVersion *number `json:"expected_version"`
}

func setAlias(ctx context.Context, d *driver, a aliasArguments) (any, error) {
	var conditions []holdfast.AliasOption
	if a.ExpectedVersion != nil {
		conditions = append(conditions, holdfast.IfVersion(int64(*a.ExpectedVersion)))
	}
	return nothing, d.client.SetAlias(ctx, a.Name, a.Alias, int64(a.Version), conditions...)
}

func getAlias(ctx context.Context, d *driver, a aliasArguments) (any, error) {
	version, err := d.client.GetModelVersionByAlias(ctx, a.Name, a.Alias)
	if err != nil {
		return nil, err
	}
	return map[string]any{"version": number(version.Version)}, nil
}

func watchModel(_ context.Context, d *driver, a nameArguments) (any, error) {
	if d.stopWatch != nil {
		d.stopWatch()
	}
	d.nextEvent, d.stopWatch = iter.Pull2(d.client.WatchModel(d.watching, a.Name))
	if _, err, isMore := d.nextEvent(); err != nil || !isMore {
		return nil, errors.Join(err, endedIf(!isMore))
	}
	return nothing, nil
}

func nextAliasChange(_ context.Context, d *driver, a aliasArguments) (any, error) {
	if d.nextEvent == nil {
		return nil, errors.New("no watch was begun")
	}
	for {
		event, err, isMore := d.nextEvent()
		if err != nil || !isMore {
			return nil, errors.Join(err, endedIf(!isMore))
		}
		if event.Subject != "ALIAS" || event.Alias != a.Alias {
			continue
		}
		if event.Version == 0 {
			return map[string]any{"version": ""}, nil
		}
		return map[string]any{"version": number(event.Version)}, nil
	}
}

func endedIf(ended bool) error {
	if ended {
		return errors.New("the watch has ended")
	}
	return nil
}
