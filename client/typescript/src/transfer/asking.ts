/** Asks which blocks the server lacks, a window ahead of those that are sent. */

import type { Channel } from "../channel.js";
import { ArtifactService } from "../gen/holdfast/v1/artifact_service_pb.js";
import type { HashedBlock } from "./hashing.js";

/**
 * Blocks whose presence is asked for together, and how many such windows are asked for ahead: over a slow network the
 * answers come while earlier windows are sent. In memory are these, what is hashed ahead and what is unanswered.
 */
const WINDOW_BYTES = 8 << 20;
const WINDOW_BLOCKS = 512;
const ASK_AHEAD = 1;
const MAX_DIGESTS = 16_384;

/** Blocks, and the names (hex) of those that the server lacks. */
export interface Window {
  readonly blocks: readonly HashedBlock[];
  readonly missing: ReadonlySet<string>;
}

/** The names (hex) of those of `digests` that the server lacks. */
export async function findMissing(channel: Channel, digests: readonly Buffer[]): Promise<Set<string>> {
  const missing = new Set<string>();
  for (let start = 0; start < digests.length; start += MAX_DIGESTS) {
    const answer = await channel.call(ArtifactService.method.findMissingBlocks, {
      digests: digests.slice(start, start + MAX_DIGESTS),
    });
    for (const digest of answer.missingDigests) missing.add(nameOf(digest));
  }
  return missing;
}

/** Windows of blocks in order, each asked for before the one before it is taken; empty blocks are never missing. */
export async function* missingBlocks(
  channel: Channel,
  batches: AsyncIterable<HashedBlock[]>,
): AsyncGenerator<Window, void, undefined> {
  const asked: Promise<Window>[] = [];
  for await (const blocks of windows(batches)) {
    const window = ask(channel, blocks);
    window.catch(() => undefined); // whoever takes it gets the error; nobody does when an earlier one failed
    asked.push(window);
    if (asked.length > ASK_AHEAD) yield await (asked.shift() as Promise<Window>);
  }
  for (const window of asked) yield await window;
}

/** A digest as a key. */
export function nameOf(digest: Uint8Array): string {
  return Buffer.from(digest.buffer, digest.byteOffset, digest.byteLength).toString("hex");
}

async function ask(channel: Channel, blocks: readonly HashedBlock[]): Promise<Window> {
  const unique = new Map<string, Buffer>();
  for (const block of blocks) {
    if (block.data.length > 0) unique.set(block.name, block.digest);
  }
  return { blocks, missing: await findMissing(channel, [...unique.values()]) };
}

async function* windows(batches: AsyncIterable<HashedBlock[]>): AsyncGenerator<HashedBlock[], void, undefined> {
  let window: HashedBlock[] = [];
  let size = 0;
  for await (const batch of batches) {
    window = window.concat(batch);
    for (const block of batch) size += block.data.length;
    if (size >= WINDOW_BYTES || window.length >= WINDOW_BLOCKS) {
      yield window;
      window = [];
      size = 0;
    }
  }
  if (window.length > 0) yield window;
}
