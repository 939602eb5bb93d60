/** A file of a snapshot, of which only what is wanted is fetched. */

import type { Channel } from "../channel.js";
import { InvalidArgumentError } from "../errors.js";
import { BLOCK_SIZE, blockCount } from "../format/digests.js";
import type { ArtifactLocation } from "../gen/holdfast/v1/artifact_pb.js";
import { ArtifactService } from "../gen/holdfast/v1/artifact_service_pb.js";
import { toNumber } from "../numbers.js";
import { BlockBuffers } from "./buffers.js";
import { checkWhole, FileReading } from "./receiving.js";
import { resolveFile } from "./trees.js";

/** Reads ranges of one snapshot's file, which nothing changes meanwhile. Every block is verified. */
export class ArtifactReader {
  private readonly buffers = new BlockBuffers();

  private constructor(
    private readonly channel: Channel,
    private readonly location: ArtifactLocation,
    private readonly blocks: readonly Uint8Array[],
    /** Bytes of the file. */
    readonly size: number,
    /** The file's digest: 32 bytes. */
    readonly digest: Uint8Array,
  ) {}

  /** Open the file that `uri` names. */
  static open(channel: Channel, uri: string): Promise<ArtifactReader> {
    return resolveFile(channel, uri, async (location) => {
      const { owner, sequence, path } = location;
      const blocks: Uint8Array[] = [];
      let pageToken = "";
      for (;;) {
        const page = await channel.call(ArtifactService.method.listFileBlocks, {
          ...(owner === undefined ? {} : { owner }),
          sequence,
          path,
          pageToken,
        });
        for (const digest of page.blockDigests) blocks.push(digest);
        const size = toNumber(page.entry?.size ?? 0n, `The size of ${path}`);
        const digest = page.entry?.digest ?? new Uint8Array();
        pageToken = page.nextPageToken;
        if (pageToken && blocks.length <= blockCount(size)) continue;
        checkWhole(path, size, digest, blocks);
        return new ArtifactReader(channel, location, blocks, size, digest);
      }
    });
  }

  /**
   * The bytes from `offset` on, `length` of them or up to the end of the file.
   *
   * Only whole blocks can be verified, so a byte costs up to 8 MiB on the way.
   *
   * @throws {DataLossError} What came does not have its digest.
   */
  async read(offset: number, length: number): Promise<Buffer> {
    checkRange(offset, length);
    const end = Math.min(offset + length, this.size);
    const wanted = Buffer.alloc(Math.max(0, end - offset));
    if (wanted.length === 0) return wanted;
    const first = Math.floor(offset / BLOCK_SIZE) * BLOCK_SIZE;
    const copy = (block: Buffer, start: number): Promise<void> => {
      block.copy(wanted, Math.max(0, start - offset), Math.max(0, offset - start), Math.min(block.length, end - start));
      return Promise.resolve();
    };
    const range = { offset: first, limit: end - first, known: this.blocks };
    await new FileReading(this.channel, this.location, this.buffers, copy, range).run();
    return wanted;
  }

  /** The file from `offset` on, block by block. */
  async *stream(offset = 0): AsyncGenerator<Buffer, void, undefined> {
    checkRange(offset, 0);
    for (let start = offset; start < this.size;) {
      const end = Math.min((Math.floor(start / BLOCK_SIZE) + 1) * BLOCK_SIZE, this.size);
      yield await this.read(start, end - start);
      start = end;
    }
  }
}

function checkRange(offset: number, length: number): void {
  for (const [name, value] of Object.entries({ offset, length })) {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new InvalidArgumentError(`${name} is a whole number of bytes from 0, not ${value}.`);
    }
  }
}
