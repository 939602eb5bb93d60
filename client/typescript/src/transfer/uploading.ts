/** Uploads sources into a tree: blocks first, then one commit that makes all of it visible at once. */

import type { Channel } from "../channel.js";
import { UnavailableError } from "../errors.js";
import type { Tree } from "../gen/holdfast/v1/artifact_pb.js";
import { missingBlocks } from "./asking.js";
import { BlockBuffers } from "./buffers.js";
import { Commit, MAX_INLINE, type LargeFile, type Owner } from "./committing.js";
import { HashThreads } from "./hash-threads.js";
import { hashBlocks, type HashedBlock } from "./hashing.js";
import { BlockSender } from "./sending.js";
import type { Source } from "./sources.js";

/** Commits that find blocks missing again, as the garbage collection took them meanwhile, before it is an error. */
const ATTEMPTS = 3;

/**
 * Put `sources` into the tree of `owner`; all become visible at once when this returns.
 *
 * @throws {LocalFileError} A file changed or cannot be read; nothing is visible.
 * @throws {HoldfastError} As the server says; nothing is visible. The same call sends only what is still missing.
 */
export async function upload(channel: Channel, owner: Owner, sources: readonly Source[]): Promise<Tree> {
  const directories = sources.filter((source) => source.isDirectory);
  const files = sources.filter((source) => !source.isDirectory);
  const small = files.filter((source) => source.size <= MAX_INLINE);
  const large = files.filter((source) => source.size > MAX_INLINE);
  const buffers = new BlockBuffers();
  const commit = new Commit(channel, owner, buffers);
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const written = large.length > 0 ? await writeBlocks(channel, large) : [];
    const tree = await commit.run(directories, written, small);
    if (tree !== undefined) return tree;
  }
  throw new UnavailableError(
    "The server kept losing blocks of this upload; its garbage collection may be misconfigured.",
  );
}

/** Bytes from which on threads that hash are worth the time in which they start. */
const THREADED = 32 << 20;

/** Send what the server lacks; returns the files with the digests of their blocks. */
async function writeBlocks(channel: Channel, sources: readonly Source[]): Promise<LargeFile[]> {
  const files = sources.map((source) => ({ source, digests: [] as Uint8Array[] }));
  const total = files.reduce((size, { source }) => size + source.size, 0);
  const threads = total >= THREADED ? new HashThreads() : undefined;
  const hashed = hashBlocks(sources, new BlockBuffers(threads !== undefined), threads);
  const sender = new BlockSender(channel);
  try {
    for await (const { blocks, missing } of missingBlocks(channel, hashed)) {
      const toSend: HashedBlock[] = [];
      for (const block of blocks) {
        files[block.source]?.digests.push(block.digest);
        if (missing.has(block.name)) toSend.push(block);
        else block.release();
      }
      await sender.send(toSend);
    }
    await sender.finish();
  } finally {
    sender.close();
    await threads?.close();
  }
  return files;
}
