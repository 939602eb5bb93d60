package holdfast

import (
	"context"
	"errors"

	pb "holdfast/client/go/holdfast/v1"
)

// Experiment groups runs and logged models.
type Experiment struct {
	ID      string // "0" is the experiment Default, which is always there
	Name    string
	Deleted bool
	Tags    map[string]string

	client *Client
}

// CreateExperiment creates an experiment; the error is ErrAlreadyExists when the name is taken, also by a deleted one.
func (c *Client) CreateExperiment(ctx context.Context, name string) (*Experiment, error) {
	request := &pb.CreateExperimentRequest{Name: name, RequestId: newID()}
	response, err := call(ctx, c.conn, c.experiments().CreateExperiment, request)
	if err != nil {
		return nil, err
	}
	return c.experiment(response.GetExperiment()), nil
}

// GetExperiment reads an experiment by its id, deleted or not.
func (c *Client) GetExperiment(ctx context.Context, id string) (*Experiment, error) {
	return c.getExperiment(ctx, &pb.GetExperimentRequest{
		Selector: &pb.GetExperimentRequest_ExperimentId{ExperimentId: id},
	})
}

// Experiment is the experiment of a name, which is created when it is absent.
func (c *Client) Experiment(ctx context.Context, name string) (*Experiment, error) {
	byName := &pb.GetExperimentRequest{Selector: &pb.GetExperimentRequest_Name{Name: name}}
	found, err := c.getExperiment(ctx, byName)
	if !errors.Is(err, ErrNotFound) {
		return found, err
	}
	created, err := c.CreateExperiment(ctx, name)
	if errors.Is(err, ErrAlreadyExists) { // somebody else was faster
		return c.getExperiment(ctx, byName)
	}
	return created, err
}

// CreateRun starts a run in the experiment.
func (e *Experiment) CreateRun(ctx context.Context, options ...RunOption) (*Run, error) {
	return e.client.CreateRun(ctx, e.ID, options...)
}

func (c *Client) getExperiment(ctx context.Context, request *pb.GetExperimentRequest) (*Experiment, error) {
	response, err := call(ctx, c.conn, c.experiments().GetExperiment, request)
	if err != nil {
		return nil, err
	}
	return c.experiment(response.GetExperiment()), nil
}

func (c *Client) experiment(found *pb.Experiment) *Experiment {
	return &Experiment{
		ID:      found.GetExperimentId(),
		Name:    found.GetName(),
		Deleted: found.GetLifecycleStage() == pb.LifecycleStage_LIFECYCLE_STAGE_DELETED,
		Tags:    tagsFromProto(found.GetTags()),
		client:  c,
	}
}

func tagsFromProto(tags []*pb.Tag) map[string]string {
	texts := make(map[string]string, len(tags))
	for _, tag := range tags {
		texts[tag.GetKey()] = tag.GetValue()
	}
	return texts
}
