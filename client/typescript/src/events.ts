/** What a watch tells. */

import { EventSubject, EventType, type Event as EventMessage } from "./gen/holdfast/v1/event_pb.js";
import { fromTime } from "./labels.js";
import { toNumber } from "./numbers.js";

/** What may happen; `UNKNOWN` is what this client does not know yet. */
export type ChangeType = keyof typeof EventType | "UNKNOWN";
/** What may change. */
export type ChangeSubject = keyof typeof EventSubject | "UNKNOWN";

/** One thing that is not as it was. */
export interface EventChange {
  /** Such as `status`, `name` or `tags.<key>`. */
  readonly field: string;
  /** Undefined: nothing, or not recorded. */
  readonly oldValue: string | undefined;
  /** Undefined: it was removed. */
  readonly newValue: string | undefined;
}

/** The newest point of one metric in one batch. */
export interface EventMetric {
  readonly key: string;
  readonly value: number;
  readonly step: number;
  readonly timestamp: number | undefined;
  /** How many points of it the batch had. */
  readonly pointCount: number;
}

/** A change. */
export interface Change {
  /** What happened; pass over what you do not know, as later servers may have more. */
  readonly type: ChangeType;
  /** What changed. */
  readonly subject: ChangeSubject;
  /** A watch that is given it goes on behind this event. */
  readonly cursor: string;
  /** Milliseconds since 1970. */
  readonly timestamp: number | undefined;
  /** Who did it, as the server knows; empty without authentication. */
  readonly principal: string;
  readonly experimentId: string;
  readonly runId: string;
  readonly modelId: string;
  /** Of registered models, versions and aliases. */
  readonly name: string;
  /** Of versions; of an alias, the one it names now. Undefined: none, as of an alias that was removed. */
  readonly version: number | undefined;
  /** Of aliases. */
  readonly alias: string;
  readonly changes: readonly EventChange[];
  readonly metrics: readonly EventMetric[];
  /** Parts were left out for their size. */
  readonly isTruncated: boolean;
}

/** The first event of a watch: what is watched, as it is. */
export interface Beginning<State> {
  readonly type: "STATE";
  readonly cursor: string;
  readonly state: State;
}

/** What a watch tells: first how things are, then each change. */
export type WatchEvent<State> = Beginning<State> | (Change & { readonly state?: undefined });

/** An event as users see it. */
export function changeFromMessage(message: EventMessage, cursor: string): Change {
  return {
    type: (EventType[message.type] as ChangeType | undefined) ?? "UNKNOWN",
    subject: (EventSubject[message.subject] as ChangeSubject | undefined) ?? "UNKNOWN",
    cursor,
    timestamp: fromTime(message.time),
    principal: message.principal,
    experimentId: message.experimentId,
    runId: message.runId,
    modelId: message.modelId,
    name: message.name,
    version: message.version === 0n ? undefined : toNumber(message.version, "A version"),
    alias: message.alias,
    changes: message.changes.map(({ field, oldValue, newValue }) => ({ field, oldValue, newValue })),
    metrics: message.metrics.map((metric) => ({
      key: metric.key,
      value: metric.value,
      step: toNumber(metric.step, "A step"),
      timestamp: fromTime(metric.timestamp),
      pointCount: toNumber(metric.pointCount, "A number of points"),
    })),
    isTruncated: message.truncated,
  };
}
