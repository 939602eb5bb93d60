/** A handle of a run. */

import {
  downloadArtifacts,
  listArtifacts,
  logArtifact,
  logArtifacts,
  logBytes,
  type Artifact,
  type LogOptions,
} from "./artifacts.js";
import type { Channel } from "./channel.js";
import type { Labels, LabelValue } from "./labels.js";
import { logModel, type NewModel } from "./models.js";
import * as runs from "./runs.js";
import type { FinalStatus, MetricPoint, NewMetric, RunState } from "./runs.js";
import type { Owner } from "./transfer/committing.js";
import { watchRun, type Watch, type WatchOptions } from "./watching.js";

/** A run to log to. It holds nothing but the run's id; making one sends nothing. */
export class Run {
  constructor(
    private readonly channel: Channel,
    readonly runId: string,
  ) {}

  /** Names the run's artifacts, or one of them. */
  uri(path = ""): string {
    return `runs:/${this.runId}${path && `/${path}`}`;
  }

  /** Read the run whole. */
  get(): Promise<RunState> {
    return runs.getRun(this.channel, this.runId);
  }

  /** Log a param; it is kept for good, and another value for it is refused. */
  logParam(key: string, value: LabelValue): Promise<void> {
    return this.logParams({ [key]: value });
  }

  /** Log params, 100 at a time. */
  logParams(params: Labels): Promise<void> {
    return runs.logParams(this.channel, this.runId, params);
  }

  /** Set a tag. */
  setTag(key: string, value: LabelValue): Promise<void> {
    return this.setTags({ [key]: value });
  }

  /** Set tags, 100 at a time. */
  setTags(tags: Labels): Promise<void> {
    return runs.setTags(this.channel, this.runId, tags);
  }

  /** Log one point of a metric; log many by `logMetrics`, which takes one call a thousand. */
  logMetric(key: string, value: number, options: { step?: number; timestamp?: number } = {}): Promise<void> {
    return this.logMetrics([{ key, value, ...options }]);
  }

  /** Log points of metrics, 1,000 at a time. */
  logMetrics(metrics: readonly NewMetric[]): Promise<void> {
    return runs.logMetrics(this.channel, this.runId, metrics);
  }

  /** All points of a metric, by step. */
  metricHistory(key: string): Promise<MetricPoint[]> {
    return runs.metricHistory(this.channel, this.runId, key);
  }

  /**
   * Log a file, or a directory with its tree below its name. When this returns, every byte is durable on the server and all
   * became visible at once; if it raises, nothing of it is visible, and the same call sends only what is missing.
   */
  logArtifact(localPath: string, options: LogOptions = {}): Promise<void> {
    return logArtifact(this.channel, this.owner, localPath, options);
  }

  /** Log the contents of a directory, as `logArtifact`. */
  logArtifacts(localDir: string, options: LogOptions = {}): Promise<void> {
    return logArtifacts(this.channel, this.owner, localDir, options);
  }

  /** Log bytes in memory as the file `path`. */
  logBytes(data: Uint8Array, path: string): Promise<void> {
    return logBytes(this.channel, this.owner, data, path);
  }

  /** Log a text as the file `path`. */
  logText(text: string, path: string): Promise<void> {
    return this.logBytes(Buffer.from(text), path);
  }

  /** What is in a directory of the run's artifacts, of all levels when asked. */
  listArtifacts(path = "", options: { recursive?: boolean } = {}): Promise<Artifact[]> {
    return listArtifacts(this.channel, this.uri(path), options.recursive ?? false);
  }

  /** Download a file or directory of the run below `destination`; returns where it is. */
  download(path: string, destination: string): Promise<string> {
    return downloadArtifacts(this.channel, this.uri(path), destination);
  }

  /** Log the contents of a directory (with an `MLmodel`) as a model; returns its id, which `models:/<id>` names. */
  logModel(localDir: string, options: NewModel = {}): Promise<string> {
    return logModel(this.channel, this.runId, localDir, options);
  }

  /** Watch the run: first as it is, then each change. */
  watch(options: WatchOptions = {}): Watch<RunState> {
    return watchRun(this.channel, this.runId, options);
  }

  /** End the run now. */
  finish(status: FinalStatus = "FINISHED"): Promise<void> {
    return runs.finishRun(this.channel, this.runId, status);
  }

  private get owner(): Owner {
    return { owner: { case: "runId", value: this.runId } };
  }
}
