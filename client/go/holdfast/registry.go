package holdfast

import (
	"context"
	"time"

	pb "holdfast/client/go/holdfast/v1"
)

// RegisteredModel is a name under which versions of a model are promoted.
type RegisteredModel struct {
	Name        string
	Description string
	Tags        map[string]string
	Aliases     map[string]int64 // the version that each names
}

// ModelVersion is a numbered version of a registered model; its files never change.
type ModelVersion struct {
	Name        string
	Version     int64
	Source      string // the URI that it was registered from
	RunID       string // of the run that made it; empty: none known
	ModelID     string // of the logged model that it was made of; empty: files of a run
	Description string
	Tags        map[string]string
	Aliases     []string
	CreateTime  time.Time
	TreeDigest  Digest // of the tree that it pins
}

// RegisterModel registers what a URI names, such as [LoggedModel.URI], under the next number of a registered model, which
// is created when it is absent.
func (c *Client) RegisterModel(ctx context.Context, name, uri string) (*ModelVersion, error) {
	request := &pb.CreateModelVersionRequest{
		Name: name, Source: uri, CreateRegisteredModel: true, UserId: c.userID, RequestId: newID(),
	}
	response, err := call(ctx, c.conn, c.registry().CreateModelVersion, request)
	if err != nil {
		return nil, err
	}
	return modelVersion(response.GetModelVersion()), nil
}

// GetRegisteredModel reads a registered model with its aliases.
func (c *Client) GetRegisteredModel(ctx context.Context, name string) (*RegisteredModel, error) {
	request := &pb.GetRegisteredModelRequest{Name: name}
	response, err := call(ctx, c.conn, c.registry().GetRegisteredModel, request)
	if err != nil {
		return nil, err
	}
	return registeredModel(response.GetRegisteredModel()), nil
}

// GetModelVersion reads a version by its number.
func (c *Client) GetModelVersion(ctx context.Context, name string, version int64) (*ModelVersion, error) {
	return c.getModelVersion(ctx, &pb.GetModelVersionRequest{
		Name: name, Selector: &pb.GetModelVersionRequest_Version{Version: version},
	})
}

// GetModelVersionByAlias reads the version that an alias names.
func (c *Client) GetModelVersionByAlias(ctx context.Context, name, alias string) (*ModelVersion, error) {
	return c.getModelVersion(ctx, &pb.GetModelVersionRequest{
		Name: name, Selector: &pb.GetModelVersionRequest_Alias{Alias: alias},
	})
}

// AliasOption is a condition on a change of an alias.
type AliasOption func(expected **int64)

// IfVersion changes the alias only if it names this version now; otherwise the error is ErrConflict.
func IfVersion(version int64) AliasOption {
	return func(expected **int64) { *expected = &version }
}

// IfAbsent sets the alias only if there is none of this name now; otherwise the error is ErrConflict.
func IfAbsent() AliasOption { return IfVersion(0) }

// SetAlias makes an alias name a version, on condition when asked: of any number of clients that race for an alias, each
// naming what it saw, one wins.
func (c *Client) SetAlias(ctx context.Context, name, alias string, version int64, conditions ...AliasOption) error {
	request := &pb.SetAliasRequest{Name: name, Alias: alias, Version: version, UserId: c.userID, RequestId: newID()}
	for _, condition := range conditions {
		condition(&request.ExpectedVersion)
	}
	_, err := call(ctx, c.conn, c.registry().SetAlias, request)
	return err
}

// DeleteAlias removes an alias, on condition when asked; one that is not there is passed over.
func (c *Client) DeleteAlias(ctx context.Context, name, alias string, conditions ...AliasOption) error {
	request := &pb.DeleteAliasRequest{Name: name, Alias: alias, UserId: c.userID, RequestId: newID()}
	for _, condition := range conditions {
		condition(&request.ExpectedVersion)
	}
	_, err := call(ctx, c.conn, c.registry().DeleteAlias, request)
	return err
}

func (c *Client) getModelVersion(ctx context.Context, request *pb.GetModelVersionRequest) (*ModelVersion, error) {
	response, err := call(ctx, c.conn, c.registry().GetModelVersion, request)
	if err != nil {
		return nil, err
	}
	return modelVersion(response.GetModelVersion()), nil
}

func registeredModel(found *pb.RegisteredModel) *RegisteredModel {
	model := &RegisteredModel{
		Name:        found.GetName(),
		Description: found.GetDescription(),
		Tags:        tagsFromProto(found.GetTags()),
		Aliases:     make(map[string]int64, len(found.GetAliases())),
	}
	for _, alias := range found.GetAliases() {
		model.Aliases[alias.GetAlias()] = alias.GetVersion()
	}
	return model
}

func modelVersion(found *pb.ModelVersion) *ModelVersion {
	version := &ModelVersion{
		Name:        found.GetName(),
		Version:     found.GetVersion(),
		Source:      found.GetSource(),
		RunID:       found.GetRunId(),
		ModelID:     found.GetModelId(),
		Description: found.GetDescription(),
		Tags:        tagsFromProto(found.GetTags()),
		Aliases:     found.GetAliases(),
		CreateTime:  timeFromProto(found.GetCreateTime()),
	}
	copy(version.TreeDigest[:], found.GetTree().GetDigest())
	return version
}
