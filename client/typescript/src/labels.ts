/** Params, tags and times, as users say them and as they travel. */

import { userInfo } from "node:os";

import { timestampFromMs, timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";

import { InvalidArgumentError } from "./errors.js";

/** What may be the value of a param or tag; it becomes text. */
export type LabelValue = string | number | bigint | boolean;
/** Params or tags by their keys. */
export type Labels = Readonly<Record<string, LabelValue>>;

/** Most params, or tags, of one request. */
export const MAX_LABELS = 100;

interface KeyAndValue {
  key: string;
  value: string;
}

/** Params or tags for a request. */
export function toLabels(labels: Labels = {}): KeyAndValue[] {
  return Object.entries(labels).map(([key, value]) => ({ key, value: String(value) }));
}

/** Params or tags of an answer. */
export function fromLabels(labels: readonly KeyAndValue[]): Record<string, string> {
  return Object.fromEntries(labels.map(({ key, value }) => [key, value]));
}

/** Cut a list into parts of at most `size`. */
export function batches<T>(items: readonly T[], size: number): T[][] {
  const cut: T[][] = [];
  for (let start = 0; start < items.length; start += size) cut.push(items.slice(start, start + size));
  return cut;
}

/**
 * A time for a request.
 *
 * @throws {InvalidArgumentError} It is not a whole number of milliseconds.
 */
export function toTime(milliseconds: number): Timestamp {
  if (!Number.isSafeInteger(milliseconds)) {
    throw new InvalidArgumentError(`A time is a whole number of milliseconds since 1970, not ${milliseconds}.`);
  }
  return timestampFromMs(milliseconds);
}

/** Milliseconds since 1970; undefined for a time that is absent. */
export function fromTime(time: Timestamp | undefined): number | undefined {
  return time === undefined ? undefined : Math.floor(timestampMs(time));
}

/** Who runs this process; empty when the system does not know. */
export function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return ""; // a container's user id may have no name
  }
}
