package holdfast

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	pb "holdfast/client/go/holdfast/v1"
)

// failTimeout bounds the call that marks a model as failed whose writing was broken off.
const failTimeout = 10 * time.Second

// maxStatusMessage is how many characters a server takes of why a model failed.
const maxStatusMessage = 5_000

// LoggedModel is a model that a run logged; its files never change.
type LoggedModel struct {
	// ID is "m-" and 32 hex digits.
	ID   string
	Name string
}

// URI names the model's files, for [Client.Download] and [Client.RegisterModel].
func (m *LoggedModel) URI() string { return "models:/" + m.ID }

// LogModel logs a directory that holds a model in MLflow's format, with its MLmodel file, as an output of the run. The
// model is READY when this returns, and FAILED when it does not come to that.
func (r *Run) LogModel(ctx context.Context, directory, name string, options ...UploadOption) (*LoggedModel, error) {
	sources, err := findContents(directory, "", options)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(directory, "MLmodel")); err != nil {
		return nil, &LocalFileError{Path: directory, Problem: "is no model: it has no file MLmodel", Err: err}
	}
	models := r.client.models()
	created, err := call(ctx, r.client.conn, models.CreateLoggedModel, &pb.CreateLoggedModelRequest{
		Name: name, SourceRunId: r.ID, RequestId: newID(),
	})
	if err != nil {
		return nil, err
	}
	model := &LoggedModel{ID: created.GetModel().GetModelId(), Name: created.GetModel().GetName()}
	if err := r.writeModel(ctx, model, sources); err != nil {
		// Nobody has its id yet, so nobody else could end it, also when the context is what ended.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), failTimeout)
		defer cancel()
		return nil, errors.Join(err, r.finalize(ctx, model, pb.LoggedModelStatus_LOGGED_MODEL_STATUS_FAILED, err.Error()))
	}
	return model, nil
}

func (r *Run) writeModel(ctx context.Context, model *LoggedModel, sources []source) error {
	owner := &pb.TreeOwner{Owner: &pb.TreeOwner_ModelId{ModelId: model.ID}}
	if err := upload(ctx, r.client.conn, owner, sources); err != nil {
		return err
	}
	outputs := &pb.LogOutputsRequest{
		RunId: r.ID, Models: []*pb.ModelOutput{{ModelId: model.ID}}, RequestId: newID(),
	}
	if _, err := call(ctx, r.client.conn, r.client.runs().LogOutputs, outputs); err != nil {
		return err
	}
	return r.finalize(ctx, model, pb.LoggedModelStatus_LOGGED_MODEL_STATUS_READY, "")
}

func (r *Run) finalize(ctx context.Context, model *LoggedModel, status pb.LoggedModelStatus, message string) error {
	letters := []rune(message)
	request := &pb.FinalizeLoggedModelRequest{
		ModelId: model.ID, Status: status, StatusMessage: string(letters[:min(len(letters), maxStatusMessage)]),
		RequestId: newID(),
	}
	_, err := call(ctx, r.client.conn, r.client.models().FinalizeLoggedModel, request)
	return err
}
