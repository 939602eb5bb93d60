/** Reads files once, cuts them into blocks and hashes those, ahead of the network and in bounded memory. */

import { open, type FileHandle } from "node:fs/promises";

import { ignore } from "../channel.js";
import { LocalFileError } from "../errors.js";
import { BLOCK_SIZE, blockCount, blockLength, sha256 } from "../format/digests.js";
import type { BlockBuffers } from "./buffers.js";
import type { HashThreads } from "./hash-threads.js";
import type { Source } from "./sources.js";
import { stampOf } from "./stamps.js";

/**
 * Bytes that are read ahead of the network, in batches of at most `BLOCK_SIZE`; and batches, when they are of small files. Two
 * for each thread, so that none waits for the event loop to be told what is next.
 */
const READ_AHEAD = 4 * BLOCK_SIZE;
const MAX_BATCHES = 4;
/** Small files of one batch; a task each would cost more than reading them. */
const BATCH_FILES = 128;
/** Blocks up to this size get memory of their own. */
const SMALL = 64 << 10;

/** A block in memory. */
export interface HashedBlock {
  /** Index of its file among the sources. */
  readonly source: number;
  readonly digest: Buffer;
  /** The digest in hex, by which blocks are found again. */
  readonly name: string;
  readonly data: Uint8Array;
  /** Says that nobody needs `data` any more. */
  readonly release: () => void;
}

interface Piece {
  readonly index: number;
  readonly source: Source;
  readonly offset: number;
  readonly length: number;
}

interface Task {
  readonly pieces: Piece[];
  size: number;
}

/**
 * Batches of hashed blocks of at most `BLOCK_SIZE` bytes, in the order of the sources. An empty file has one too.
 *
 * With `threads`, for whom `buffers` are shared, large blocks are read and hashed by them.
 *
 * @throws {LocalFileError} A file changed since it was found, or cannot be read.
 */
export async function* hashBlocks(
  sources: readonly Source[],
  buffers: BlockBuffers,
  threads?: HashThreads,
): AsyncGenerator<HashedBlock[], void, undefined> {
  const tasks = makeTasks(sources);
  const ahead: { batch: Promise<HashedBlock[]>; size: number }[] = [];
  let size = 0;
  const start = (): void => {
    while (ahead.length < MAX_BATCHES && size + BLOCK_SIZE <= READ_AHEAD) {
      const task = tasks.next();
      if (task.done) return;
      const batch = runTask(task.value, buffers, threads);
      // Whoever waits for it gets the error; nobody does when an earlier one failed.
      batch.catch(() => undefined);
      ahead.push({ batch, size: task.value.size });
      size += task.value.size;
    }
  };
  start();
  for (let first = ahead.shift(); first !== undefined; first = ahead.shift()) {
    const batch = await first.batch;
    size -= first.size;
    start();
    yield batch;
  }
}

function* makeTasks(sources: readonly Source[]): Generator<Task, void, undefined> {
  let task: Task = { pieces: [], size: 0 };
  for (const [index, source] of sources.entries()) {
    if (source.isDirectory) continue;
    // At least one piece, also of an empty file: whether it changed is seen when it is opened.
    for (let number = 0; number < Math.max(1, blockCount(source.size)); number += 1) {
      const length = blockLength(source.size, number);
      if (task.pieces.length > 0 && (task.size + length > BLOCK_SIZE || task.pieces.length >= BATCH_FILES)) {
        yield task;
        task = { pieces: [], size: 0 };
      }
      task.pieces.push({ index, source, offset: number * BLOCK_SIZE, length });
      task.size += length;
    }
  }
  if (task.pieces.length > 0) yield task;
}

async function runTask(task: Task, buffers: BlockBuffers, threads?: HashThreads): Promise<HashedBlock[]> {
  const blocks: HashedBlock[] = [];
  for (const piece of task.pieces) {
    const { digest, data, release } = await load(piece, buffers, threads);
    blocks.push({ source: piece.index, digest, name: digest.toString("hex"), data, release });
  }
  return blocks;
}

type Loaded = Pick<HashedBlock, "digest" | "data" | "release">;

async function load({ source, offset, length }: Piece, buffers: BlockBuffers, threads?: HashThreads): Promise<Loaded> {
  if (source.data !== undefined) {
    const data = source.data.subarray(offset, offset + length);
    return { digest: await sha256(data), data, release: ignore };
  }
  if (length <= SMALL) {
    const data = Buffer.allocUnsafeSlow(length);
    return { digest: await readAndHash(source, offset, data), data, release: ignore };
  }
  const data = buffers.take(length);
  const release = (): void => buffers.giveBack(data);
  try {
    const digest = await (threads === undefined
      ? readAndHash(source, offset, data)
      : readAndHashIn(threads, source, offset, data));
    return { digest, data, release };
  } catch (error) {
    release();
    throw error;
  }
}

async function readAndHash(source: Source, offset: number, data: Buffer): Promise<Buffer> {
  let file: FileHandle | undefined;
  try {
    file = await open(source.local, "r");
    const count = await readFully(file, data, offset);
    checkUnchanged(source, count === data.length, stampOf(await file.stat({ bigint: true })));
  } catch (cause) {
    throw cause instanceof LocalFileError ? cause : cannotRead(source, (cause as Error).message, cause);
  } finally {
    await file?.close();
  }
  return sha256(data);
}

async function readAndHashIn(threads: HashThreads, source: Source, offset: number, data: Buffer): Promise<Buffer> {
  const answer = await threads.load(source.local, offset, data);
  if ("problem" in answer) throw cannotRead(source, answer.problem);
  checkUnchanged(source, answer.count === data.length, answer.stamp);
  return Buffer.from(answer.digest);
}

function checkUnchanged(source: Source, isWhole: boolean, stamp: string): void {
  if (isWhole && stamp === source.stamp) return;
  throw new LocalFileError(
    `${source.local} changed while it was logged; nothing of this call is kept. Log it again when it is whole.`,
  );
}

function cannotRead(source: Source, problem: string, cause?: unknown): LocalFileError {
  return new LocalFileError(`${source.local} cannot be read: ${problem}.`, { cause });
}

async function readFully(file: FileHandle, buffer: Buffer, offset: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, offset + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
