/** What a user connects to. */

import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";

import { downloadArtifacts, listArtifacts, type Artifact } from "./artifacts.js";
import { Channel, type CallOptions } from "./channel.js";
import { parseTarget, type ConnectOptions } from "./config.js";
import * as experiments from "./experiments.js";
import type { Experiment } from "./experiments.js";
import { ArtifactService } from "./gen/holdfast/v1/artifact_service_pb.js";
import type { Labels } from "./labels.js";
import * as registry from "./registry.js";
import type { ExpectedVersion, ModelVersion, NewVersion, RegisteredModel } from "./registry.js";
import { Run } from "./run.js";
import { createRun, getRun, type NewRun, type RunState } from "./runs.js";
import { ArtifactReader } from "./transfer/reader.js";
import { watchModel, type Watch, type WatchOptions } from "./watching.js";

/** What a server says of itself. */
export interface Capabilities {
  readonly serverVersion: string;
  /** It asks callers who they are. */
  readonly authenticationEnabled: boolean;
  /** Who the caller is, as the server knows; empty: it asks nobody. */
  readonly principal: string;
}

/**
 * A client of the server at `uri`: `holdfast://host:port`, `holdfast+tls://host:port` or `unix:/path`; without it,
 * `HOLDFAST_URI` names the server. Nothing is sent yet.
 *
 * @throws {InvalidArgumentError} No server is named, or one that would be spoken to over the network in the clear.
 */
export function connect(uri?: string, options: ConnectOptions = {}): Client {
  return new Client(new Channel(parseTarget(uri, options)));
}

/** Calls to one server, over one connection. Close it when it is not needed any more. */
export class Client {
  constructor(private readonly channel: Channel) {}

  /** The server; holds no secret. */
  get uri(): string {
    return this.channel.target.uri;
  }

  /** What the server says of itself; also shows that it can be reached. */
  async capabilities(): Promise<Capabilities> {
    const { serverVersion, authenticationEnabled, principal } = await this.call(
      ArtifactService.method.getCapabilities,
      {},
    );
    return { serverVersion, authenticationEnabled, principal };
  }

  /** Create an experiment; raises `AlreadyExistsError` when the name is taken, also by a deleted one. */
  createExperiment(name: string, options: { tags?: Labels } = {}): Promise<Experiment> {
    return experiments.createExperiment(this.channel, name, options.tags);
  }

  /** The experiment of this name, created when it is absent. */
  experiment(name: string): Promise<Experiment> {
    return experiments.getOrCreateExperiment(this.channel, name);
  }

  /** Read an experiment by its id or its name. */
  getExperiment(selector: { experimentId: string } | { name: string }): Promise<Experiment> {
    return experiments.getExperiment(this.channel, selector);
  }

  /** Create a run, RUNNING. */
  async createRun(options: NewRun = {}): Promise<Run> {
    return this.run(await createRun(this.channel, options));
  }

  /** A handle of a run that is there; sends nothing. */
  run(runId: string): Run {
    return new Run(this.channel, runId);
  }

  /** Read a run whole, deleted or not. */
  getRun(runId: string): Promise<RunState> {
    return getRun(this.channel, runId);
  }

  /** What is in a directory that `uri` (`runs:/…` or `models:/…`) names, of all levels when asked; a file gives itself. */
  listArtifacts(uri: string, options: { recursive?: boolean } = {}): Promise<Artifact[]> {
    return listArtifacts(this.channel, uri, options.recursive ?? false);
  }

  /**
   * Download what `uri` names below the directory `destination`; returns where it is. Every byte is verified, and each file
   * appears under its name when it is whole.
   */
  download(uri: string, destination: string): Promise<string> {
    return downloadArtifacts(this.channel, uri, destination);
  }

  /** Open a file, of which only what is read is fetched. */
  open(uri: string): Promise<ArtifactReader> {
    return ArtifactReader.open(this.channel, uri);
  }

  /** The bytes of a file from `offset` on, `length` of them or up to its end. */
  async readRange(uri: string, offset: number, length: number): Promise<Buffer> {
    return (await this.open(uri)).read(offset, length);
  }

  /** Register what `modelUri` names as the next version of `name`, which is created when it is absent. */
  registerModel(name: string, modelUri: string, options: NewVersion = {}): Promise<ModelVersion> {
    return registry.registerModel(this.channel, name, modelUri, options);
  }

  /** Read a registered model, with what its aliases name. */
  getRegisteredModel(name: string): Promise<RegisteredModel> {
    return registry.getRegisteredModel(this.channel, name);
  }

  /** Read a version by its number. */
  getModelVersion(name: string, version: number): Promise<ModelVersion> {
    return registry.getModelVersion(this.channel, name, { version });
  }

  /** Read the version that an alias names. */
  getModelVersionByAlias(name: string, alias: string): Promise<ModelVersion> {
    return registry.getModelVersion(this.channel, name, { alias });
  }

  /**
   * Make an alias name a version. With `expected`, only if that is what it names now: of all who race, one wins.
   *
   * @throws {ConflictError} It names another version; `metadata.version` says which.
   */
  setAlias(name: string, alias: string, version: number, options: { expected?: ExpectedVersion } = {}): Promise<void> {
    return registry.setAlias(this.channel, name, alias, version, options.expected);
  }

  /** Remove an alias, if it is there; `expected` as in `setAlias`. */
  deleteAlias(name: string, alias: string, options: { expected?: ExpectedVersion } = {}): Promise<void> {
    return registry.deleteAlias(this.channel, name, alias, options.expected);
  }

  /** Watch a registered model: first as it is, then each change of it, its versions and aliases (or of one `alias`). */
  watchModel(name: string, options: WatchOptions & { alias?: string } = {}): Watch<RegisteredModel> {
    return watchModel(this.channel, name, options);
  }

  /**
   * Call any method of the protos, such as `RunService.method.searchRuns`, with the same retries and errors. Give mutations
   * a `requestId` (`newRequestId()`), which makes their repetitions one.
   */
  call<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    return this.channel.call(method, request, options);
  }

  /** The messages of a streaming method of the protos; without retries. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    signal?: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, void, undefined> {
    return this.channel.readTranslated(method, request, signal);
  }

  /** End the connection, and calls in progress with it. Closing again does nothing. */
  close(): void {
    this.channel.close();
  }
}
