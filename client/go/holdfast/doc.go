// Package holdfast is the Go client of Holdfast, which keeps what runs of machine learning produce: runs and their
// metrics, artifacts of any size, models and a registry.
//
// [Connect] makes a [Client]; of that come runs ([Client.CreateRun]), which log params, metrics and files, and what reads
// them back: [Client.Download], [Client.Open], [Client.ReadRange], [Client.WalkArtifacts]. Models are logged by
// [Run.LogModel], registered by [Client.RegisterModel], promoted by [Client.SetAlias] and followed by
// [Client.WatchModel]. Everything else is reached through the generated stubs of package v1 on [Client.Conn].
//
// What a call that returned without an error has logged is durable. Calls are repeated while the server is away, for some
// 30 s; uploads, downloads and watches go on where they were. Errors are of type [*Error]: see [ErrNotFound] and its kin.
package holdfast
