/** The TypeScript client of Holdfast. The messages and services of the protos are at `@holdfast/client/v1/…`. */

export type { Artifact, LogOptions } from "./artifacts.js";
export { newRequestId, type CallOptions } from "./channel.js";
export { Client, connect, type Capabilities } from "./client.js";
export type { ConnectOptions } from "./config.js";
export * from "./errors.js";
export type { Beginning, Change, ChangeSubject, ChangeType, EventChange, EventMetric, WatchEvent } from "./events.js";
export type { Experiment } from "./experiments.js";
export { BLOCK_SIZE, fileDigest, treeDigest, type TreeItem } from "./format/digests.js";
export type { Labels, LabelValue } from "./labels.js";
export type { NewModel } from "./models.js";
export type { ExpectedVersion, ModelVersion, NewVersion, RegisteredModel } from "./registry.js";
export { Run } from "./run.js";
export type { FinalStatus, MetricPoint, NewMetric, NewRun, RunState } from "./runs.js";
export { ArtifactReader } from "./transfer/reader.js";
export { hashFile } from "./transfer/file-digest.js";
export type { Symlinks } from "./transfer/sources.js";
export { Watch, type WatchOptions } from "./watching.js";
