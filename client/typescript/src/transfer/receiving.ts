/** Puts the messages of ReadFile and ReadFiles streams together, verified, going on where they broke. */

import type { Channel } from "../channel.js";
import { DataLossError } from "../errors.js";
import { BLOCK_SIZE, blockCount, fileDigest, sha256 } from "../format/digests.js";
import type { ArtifactLocation, Entry } from "../gen/holdfast/v1/artifact_pb.js";
import {
  ArtifactService,
  type ReadFileResponse,
  type ReadFilesResponse,
} from "../gen/holdfast/v1/artifact_service_pb.js";
import { toNumber } from "../numbers.js";
import type { BlockBuffers } from "./buffers.js";

/** Blocks of one file that are being verified and written while the next ones arrive. */
const WRITING = 2;

/** Takes a verified block, with its offset in the file. The block is used again as soon as the promise is settled. */
export type WriteBlock = (block: Buffer, offset: number) => Promise<void>;

export interface ReadOptions {
  /** Where to begin: a multiple of the block size. */
  offset?: number;
  /** How many bytes, widened to whole blocks; default: all. */
  limit?: number;
  /** The digests of all of the file's blocks, where they are known. */
  known?: readonly Uint8Array[];
  signal?: AbortSignal | undefined;
}

/**
 * A ReadFile call, for whole blocks of one file, that can be begun again where it broke.
 *
 * That each block has its digest is checked; that the digests are the file's is for `checkWhole`, unless `known` said what
 * they are.
 */
export class FileReading {
  /** Offset after the last whole block that came. */
  private position: number;
  /** Digest of each block that came, by its number. */
  readonly digests = new Map<number, Uint8Array>();
  private entry: Entry | undefined;
  private readonly end: number | undefined;
  private readonly writing: Promise<void>[] = [];

  constructor(
    private readonly channel: Channel,
    private readonly location: ArtifactLocation,
    private readonly buffers: BlockBuffers,
    private readonly write: WriteBlock,
    private readonly options: ReadOptions = {},
  ) {
    this.position = options.offset ?? 0;
    this.end = options.limit ? this.position + options.limit : undefined;
  }

  /**
   * Read to the end; returns the file's entry.
   *
   * @throws {DataLossError} A block does not have its digest; it was not written.
   */
  run(): Promise<Entry> {
    const { signal } = this.options;
    return this.channel.run(() => this.attempt(), { position: () => this.position, signal });
  }

  private async attempt(): Promise<Entry> {
    if (this.entry !== undefined) {
      const size = toNumber(this.entry.size, `The size of ${this.entry.path}`);
      if (this.position >= Math.min(this.end ?? size, size)) return this.entry;
    }
    const { owner, sequence, path } = this.location;
    const request = {
      ...(owner === undefined ? {} : { owner }),
      sequence,
      path,
      offset: BigInt(this.position),
      limit: BigInt(this.end === undefined ? 0 : this.end - this.position),
      ...(this.entry === undefined ? {} : { expectedDigest: this.entry.digest }),
    };
    try {
      return await this.receive(this.channel.read(ArtifactService.method.readFile, request, this.options.signal));
    } finally {
      // What came before the connection broke counts as having come, if it could be written.
      await this.finishWriting();
    }
  }

  private async receive(messages: AsyncIterable<ReadFileResponse>): Promise<Entry> {
    const block = new BlockAssembly(this.buffers);
    let end = 0;
    for await (const { part } of messages) {
      if (part.case === "header") {
        this.entry = part.value.entry;
        this.position = toNumber(part.value.startOffset, "An offset");
        end = toNumber(part.value.endOffset, "An offset");
      } else if (part.case === "chunk") {
        const { digest, size, data } = part.value;
        if (digest.length > 0) block.begin(digest, size);
        if (!block.add(data)) throw damaged(this.location.path);
        if (block.isWhole) await this.takeBlock(block.take());
      }
    }
    if (this.entry === undefined || this.position < end) throw damaged(this.location.path);
    return this.entry;
  }

  private async takeBlock({ digest, data }: { digest: Uint8Array; data: Buffer }): Promise<void> {
    const offset = this.position;
    const number = offset / BLOCK_SIZE;
    const { known } = this.options;
    if (known !== undefined && !equal(known[number], digest)) throw damaged(this.location.path);
    const writing = this.verifiedWrite(digest, data, offset);
    writing.catch(() => undefined); // waited for below, or when the attempt ends
    this.writing.push(writing);
    this.digests.set(number, digest);
    this.position += data.length;
    if (this.writing.length > WRITING) await this.writing.shift();
  }

  private async verifiedWrite(digest: Uint8Array, data: Buffer, offset: number): Promise<void> {
    try {
      if (!equal(await sha256(data), digest)) throw damaged(this.location.path);
      await this.write(data, offset);
    } finally {
      this.buffers.giveBack(data);
    }
  }

  /** Wait until no block is being written; raises what writing one raised. */
  private async finishWriting(): Promise<void> {
    const blocks = this.writing.splice(0);
    await Promise.allSettled(blocks);
    await Promise.all(blocks);
  }
}

/** The chunks of a block, put together in one buffer. */
class BlockAssembly {
  private digest: Uint8Array = new Uint8Array();
  private buffer: Buffer | undefined;
  private filled = 0;

  constructor(private readonly buffers: BlockBuffers) {}

  begin(digest: Uint8Array, size: number): void {
    if (this.buffer !== undefined) this.buffers.giveBack(this.buffer);
    this.digest = Buffer.from(digest);
    this.buffer = this.buffers.take(Math.min(size, BLOCK_SIZE));
    this.filled = 0;
  }

  /** Whether `data` belongs to the block that was begun. */
  add(data: Uint8Array): boolean {
    if (this.buffer === undefined || this.filled + data.length > this.buffer.length) return false;
    this.buffer.set(data, this.filled);
    this.filled += data.length;
    return true;
  }

  get isWhole(): boolean {
    return this.buffer !== undefined && this.filled === this.buffer.length;
  }

  take(): { digest: Uint8Array; data: Buffer } {
    const data = this.buffer as Buffer;
    this.buffer = undefined;
    return { digest: this.digest, data };
  }
}

/** Takes each entry in order, with its data, which keeps the whole message in memory that it came with. */
export type TakeEntry = (entry: Entry, data: Uint8Array) => Promise<void>;

/**
 * Hand all entries at or below a location to `take`, in order, those of files up to `maxDataSize` bytes with their data;
 * the others come without. Goes on behind the last one that was taken when the connection breaks.
 */
export async function readFiles(
  channel: Channel,
  location: ArtifactLocation,
  maxDataSize: number,
  take: TakeEntry,
): Promise<void> {
  const { owner, sequence, path } = location;
  const request = {
    ...(owner === undefined ? {} : { owner }),
    sequence,
    path,
    maxDataSize: BigInt(maxDataSize),
    startAfter: "",
  };
  await channel.run(
    async () => {
      for await (const { entry, data } of joinFiles(
        channel.read(ArtifactService.method.readFiles, request),
        maxDataSize,
      )) {
        await take(entry, data);
        request.startAfter = entry.path;
      }
    },
    { position: () => request.startAfter },
  );
}

/** Entries of a ReadFiles stream with their data put together. */
async function* joinFiles(
  messages: AsyncIterable<ReadFilesResponse>,
  maxDataSize: number,
): AsyncGenerator<{ entry: Entry; data: Uint8Array }, void, undefined> {
  let entry: Entry | undefined;
  let parts: Uint8Array[] = [];
  let missing = 0;
  for await (const message of messages) {
    for (const part of message.parts) {
      if (part.entry !== undefined) {
        if (missing > 0) throw damaged(entry?.path ?? "");
        entry = part.entry;
        missing = entry.size <= maxDataSize ? Number(entry.size) : 0;
        parts = [];
      }
      parts.push(part.data);
      missing -= part.data.length;
      if (entry === undefined || missing < 0) throw damaged(entry?.path ?? "");
      if (missing === 0) {
        yield { entry, data: parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts) };
      }
    }
  }
  if (missing > 0) throw damaged(entry?.path ?? "");
}

/**
 * A file that came whole must have its digest, not only its blocks theirs.
 *
 * @throws {DataLossError} It has not.
 */
export function checkWhole(path: string, size: number, digest: Uint8Array, blocks: readonly Uint8Array[]): void {
  if (blocks.length !== blockCount(size) || !equal(fileDigest(blocks), digest)) throw damaged(path);
}

/** The digests of blocks in the order of their numbers. */
export function inOrder(digests: ReadonlyMap<number, Uint8Array>): Uint8Array[] {
  return [...digests].sort(([a], [b]) => a - b).map(([, digest]) => digest);
}

/** The error for bytes that are not what they should be. */
export function damaged(path: string): DataLossError {
  return new DataLossError(
    `What came for ${JSON.stringify(path)} does not have its digest, and nothing of it was written. Try again; if it ` +
      "stays so, the server's store is damaged.",
    { reason: "DATA_LOSS" },
  );
}

/** Whether two digests are the same. */
export function equal(a: Uint8Array | undefined, b: Uint8Array): boolean {
  return a !== undefined && Buffer.compare(a, b) === 0;
}
