/** Makes entries visible: one CommitFiles stream, which brings the contents of small files along. */

import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { ClientWritableStream } from "@grpc/grpc-js";

import { newRequestId, type Channel } from "../channel.js";
import { HoldfastError } from "../errors.js";
import { EntryKind, type Tree, type TreeOwnerSchema } from "../gen/holdfast/v1/artifact_pb.js";
import {
  ArtifactService,
  CommitFilesRequestSchema,
  type CommitFilesRequest,
  type CommitFilesResponse,
  type NewEntrySchema,
} from "../gen/holdfast/v1/artifact_service_pb.js";
import { missingBlocks, type Window } from "./asking.js";
import type { BlockBuffers } from "./buffers.js";
import { hashBlocks, type HashedBlock } from "./hashing.js";
import type { Source } from "./sources.js";

/** Contents up to this size go inside the commit: less to say about each than as blocks that are written before. */
export const MAX_INLINE = 64 << 10;
const COMMIT_ENTRIES = 2_000;
const COMMIT_BYTES = 768 << 10;
const DIGESTS_PER_MESSAGE = 16_384;
const DIGEST_BYTES = 34;
/** What an entry takes besides its path and content, at most. */
const ENTRY_BYTES = 120;
/** Digests that are remembered as sent, so that equal files of one tree are sent once. */
const MAX_REMEMBERED = 65_536;
/** Times that a commit is sent whose contents were damaged on their way, before it is an error. */
const MAX_DAMAGED = 3;

export type Owner = MessageInitShape<typeof TreeOwnerSchema>;
export type NewEntry = MessageInitShape<typeof NewEntrySchema>;

/** A large file: its blocks were written before. */
export interface LargeFile {
  readonly source: Source;
  readonly digests: readonly Uint8Array[];
}

/**
 * A set of entries that becomes visible at once, with the contents of small files.
 *
 * It may be tried again after an interruption, or a bit that flipped on the way: what the server has by then is named by
 * digest and not sent again.
 */
export class Commit {
  private readonly requestId = newRequestId();
  /** Small files that were sent so far, in the attempt that came furthest. */
  private reached = 0;

  constructor(
    private readonly channel: Channel,
    private readonly owner: Owner,
    private readonly buffers: BlockBuffers,
  ) {}

  /**
   * Commit directories, files whose blocks were written, and small ones, which are read here. Undefined when blocks of
   * `large` are gone meanwhile.
   *
   * @throws {LocalFileError} A small file changed or cannot be read; nothing is visible.
   * @throws {HoldfastError} As the server says; nothing is visible.
   */
  async run(
    directories: readonly Source[],
    large: readonly LargeFile[],
    small: readonly Source[],
  ): Promise<Tree | undefined> {
    for (let damaged = 1; ; damaged += 1) {
      try {
        const answer = await this.channel.run(() => this.attempt(directories, large, small), {
          position: () => this.reached,
        });
        return answer.outcome.case === "committed" ? answer.outcome.value : undefined;
      } catch (error) {
        // Damaged on the way, as what was read is what was hashed.
        const isDamaged = error instanceof HoldfastError && error.reason === "CONTENT_MISMATCH";
        if (!isDamaged || damaged === MAX_DAMAGED) throw error;
      }
    }
  }

  private async attempt(
    directories: readonly Source[],
    large: readonly LargeFile[],
    small: readonly Source[],
  ): Promise<CommitFilesResponse> {
    const { stream, answer } = this.channel.write(ArtifactService.method.commitFiles);
    const isOver = answer.then(
      () => true,
      () => true,
    );
    try {
      for await (const message of this.messages(directories, large, small)) {
        if (await Promise.race([isOver, written(stream, message)])) break;
      }
      stream.end();
      return await answer;
    } finally {
      // After an error there is no end of the entries, so that the server commits nothing.
      stream.cancel();
    }
  }

  private async *messages(
    directories: readonly Source[],
    large: readonly LargeFile[],
    small: readonly Source[],
  ): AsyncGenerator<CommitFilesRequest, void, undefined> {
    yield part({ case: "header", value: { owner: this.owner, requestId: this.requestId } });
    yield* entryMessages(directories, large);
    let entries: NewEntry[] = [];
    let size = 0;
    for await (const file of this.smallFiles(small)) {
      entries.push(smallEntry(file));
      size += file.source.path.length * 3 + ENTRY_BYTES + (file.data?.length ?? 0);
      if (size > COMMIT_BYTES || entries.length >= COMMIT_ENTRIES) {
        yield part({ case: "entries", value: { entries } });
        entries = [];
        size = 0;
      }
    }
    if (entries.length > 0) yield part({ case: "entries", value: { entries } });
    const count = directories.length + large.length + small.length;
    yield part({ case: "end", value: { entryCount: BigInt(count) } });
  }

  private async *smallFiles(small: readonly Source[]): AsyncGenerator<SmallFile, void, undefined> {
    const sent = new Set<string>();
    let done = 0;
    for await (const { blocks, missing } of this.windows(small)) {
      for (const block of blocks) {
        const isThere = sent.has(block.name) || (missing !== undefined && !missing.has(block.name));
        sent.add(block.name);
        const source = small[block.source] as Source;
        yield { source, digest: block.digest, data: isThere && source.size > 0 ? undefined : block.data };
        done += 1;
        this.reached = Math.max(this.reached, done);
      }
      if (sent.size > MAX_REMEMBERED) sent.clear();
    }
  }

  private async *windows(
    small: readonly Source[],
  ): AsyncGenerator<Omit<Window, "missing"> & { missing?: Window["missing"] }, void, undefined> {
    const batches: AsyncIterable<HashedBlock[]> = hashBlocks(small, this.buffers);
    let size = 0;
    for (const source of small) size += source.size;
    if (size > MAX_INLINE) {
      yield* missingBlocks(this.channel, batches);
    } else {
      // So little is sent in one round trip, without asking.
      for await (const blocks of batches) yield { blocks };
    }
  }
}

/** A file of one block at most; with its content when that is to be sent. */
interface SmallFile {
  readonly source: Source;
  readonly digest: Uint8Array;
  readonly data: Uint8Array | undefined;
}

function smallEntry({ source, digest, data }: SmallFile): NewEntry {
  const entry = describe(source);
  if (source.size === 0) return entry;
  return data === undefined ? { ...entry, blockDigests: [digest] } : { ...entry, digest, inlineData: data };
}

/** Messages for entries whose contents are there, those of very large files in several. */
function* entryMessages(
  directories: readonly Source[],
  large: readonly LargeFile[],
): Generator<CommitFilesRequest, void, undefined> {
  let entries: NewEntry[] = [];
  let size = 0;
  const files = [...directories.map((source) => ({ source, digests: [] as Uint8Array[] })), ...large];
  for (const { source, digests } of files) {
    entries.push({ ...describe(source), blockDigests: digests.slice(0, DIGESTS_PER_MESSAGE) });
    size += source.path.length * 3 + ENTRY_BYTES + digests.length * DIGEST_BYTES;
    if (size > COMMIT_BYTES || entries.length >= COMMIT_ENTRIES || digests.length > DIGESTS_PER_MESSAGE) {
      yield part({ case: "entries", value: { entries } });
      entries = [];
      size = 0;
    }
    for (let start = DIGESTS_PER_MESSAGE; start < digests.length; start += DIGESTS_PER_MESSAGE) {
      const blockDigests = digests.slice(start, start + DIGESTS_PER_MESSAGE);
      yield part({ case: "moreBlocks", value: { blockDigests } });
    }
  }
  if (entries.length > 0) yield part({ case: "entries", value: { entries } });
}

function describe(source: Source): NewEntry {
  const { path, isDirectory, executable, size } = source;
  return { path, kind: isDirectory ? EntryKind.DIRECTORY : EntryKind.FILE, executable, size: BigInt(size) };
}

function part(value: NonNullable<MessageInitShape<typeof CommitFilesRequestSchema>["part"]>): CommitFilesRequest {
  return create(CommitFilesRequestSchema, { part: value });
}

/** Hand a message to the network; false when that took it. */
function written(stream: ClientWritableStream<CommitFilesRequest>, message: CommitFilesRequest): Promise<false> {
  return new Promise((resolve) => {
    stream.write(message, () => resolve(false));
  });
}
