/** Runs: what they are, and the calls. */

import { newRequestId, type Channel } from "./channel.js";
import { LifecycleStage } from "./gen/holdfast/v1/experiment_pb.js";
import { RunStatus, type Metric as MetricMessage, type Run as RunMessage } from "./gen/holdfast/v1/run_pb.js";
import { RunService } from "./gen/holdfast/v1/run_service_pb.js";
import { batches, fromLabels, fromTime, MAX_LABELS, toLabels, toTime, userName, type Labels } from "./labels.js";
import { toInt64, toNumber } from "./numbers.js";

/** How a run may end. */
export type FinalStatus = "FINISHED" | "FAILED" | "KILLED";

/** One measured point. */
export interface MetricPoint {
  readonly key: string;
  /** Any double; NaN and infinities are kept exactly. */
  readonly value: number;
  /** Position in training; may be negative. */
  readonly step: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
}

/** A point to log: without `step` it is at 0, without `timestamp` of now. */
export type NewMetric = Pick<MetricPoint, "key" | "value"> & Partial<MetricPoint>;

/** A run as it was when it was read. */
export interface RunState {
  readonly runId: string;
  readonly experimentId: string;
  readonly name: string;
  readonly userId: string;
  /** Such as `RUNNING` or `FINISHED`. */
  readonly status: string;
  readonly isDeleted: boolean;
  /** It is running, and its client does not renew the lease it took. */
  readonly isLost: boolean;
  /** Milliseconds since 1970. */
  readonly startTime: number | undefined;
  /** Milliseconds since 1970; undefined while it goes on. */
  readonly endTime: number | undefined;
  readonly params: Readonly<Record<string, string>>;
  readonly tags: Readonly<Record<string, string>>;
  /** The newest point of each metric, by its key. */
  readonly metrics: Readonly<Record<string, MetricPoint>>;
  /** Params, tags, metrics or links were left out for their size; `getRun` has them all. */
  readonly isTruncated: boolean;
}

/** What a new run is told. */
export interface NewRun {
  /** Default: the experiment Default. */
  experimentId?: string;
  /** Default: one that the server makes up. */
  name?: string;
  tags?: Labels;
}

const MAX_METRICS = 1_000;
const methods = RunService.method;

/** Create a run, RUNNING; returns its id. */
export async function createRun(channel: Channel, { experimentId = "", name = "", tags }: NewRun): Promise<string> {
  const { run } = await channel.call(methods.createRun, {
    experimentId,
    runName: name,
    userId: userName(),
    startTime: toTime(Date.now()),
    tags: toLabels(tags),
    requestId: newRequestId(),
  });
  return (run as RunMessage).runId;
}

/** Read a run whole, deleted or not. */
export async function getRun(channel: Channel, runId: string): Promise<RunState> {
  let whole: RunMessage | undefined;
  let pageToken = "";
  do {
    const page = await channel.call(methods.getRun, { runId, pageToken });
    const run = page.run as RunMessage;
    if (whole === undefined) {
      whole = run;
    } else {
      whole.params.push(...run.params);
      whole.tags.push(...run.tags);
      whole.metrics.push(...run.metrics);
    }
    pageToken = page.nextPageToken;
  } while (pageToken);
  return runFromMessage(whole);
}

/** Log params, 100 at a time; each is kept for good, and another value for one is refused. */
export async function logParams(channel: Channel, runId: string, params: Labels): Promise<void> {
  for (const some of batches(toLabels(params), MAX_LABELS)) {
    await channel.call(methods.logBatch, { runId, params: some, requestId: newRequestId() });
  }
}

/** Set tags, 100 at a time. */
export async function setTags(channel: Channel, runId: string, tags: Labels): Promise<void> {
  for (const some of batches(toLabels(tags), MAX_LABELS)) {
    await channel.call(methods.logBatch, { runId, tags: some, requestId: newRequestId() });
  }
}

/** Log metrics, 1,000 at a time. */
export async function logMetrics(channel: Channel, runId: string, metrics: readonly NewMetric[]): Promise<void> {
  const now = Date.now();
  const messages = metrics.map(({ key, value, step = 0, timestamp = now }) => ({
    key,
    value,
    step: toInt64(step, "A step"),
    timestamp: toTime(timestamp),
  }));
  for (const some of batches(messages, MAX_METRICS)) {
    await channel.call(methods.logBatch, { runId, metrics: some, requestId: newRequestId() });
  }
}

/** All points of a metric, by step, then time, then order of arrival. */
export async function metricHistory(channel: Channel, runId: string, key: string): Promise<MetricPoint[]> {
  const points: MetricPoint[] = [];
  let pageToken = "";
  do {
    const page = await channel.call(methods.listMetricHistory, { runId, key, pageToken });
    for (const metric of page.metrics) points.push(metricFromMessage(metric));
    pageToken = page.nextPageToken;
  } while (pageToken);
  return points;
}

/** End a run now. */
export async function finishRun(channel: Channel, runId: string, status: FinalStatus): Promise<void> {
  await channel.call(methods.updateRun, {
    runId,
    status: RunStatus[status],
    endTime: toTime(Date.now()),
    requestId: newRequestId(),
  });
}

/** A run as users see it. */
export function runFromMessage(message: RunMessage): RunState {
  return {
    runId: message.runId,
    experimentId: message.experimentId,
    name: message.runName,
    userId: message.userId,
    status: RunStatus[message.status] || "UNKNOWN",
    isDeleted: message.lifecycleStage === LifecycleStage.DELETED,
    isLost: message.lost,
    startTime: fromTime(message.startTime),
    endTime: fromTime(message.endTime),
    params: fromLabels(message.params),
    tags: fromLabels(message.tags),
    metrics: Object.fromEntries(message.metrics.map((metric) => [metric.key, metricFromMessage(metric)])),
    isTruncated: message.truncated,
  };
}

function metricFromMessage(message: MetricMessage): MetricPoint {
  return {
    key: message.key,
    value: message.value,
    step: toNumber(message.step, "A step"),
    timestamp: fromTime(message.timestamp) ?? 0,
  };
}
