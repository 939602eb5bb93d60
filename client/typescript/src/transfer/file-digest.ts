/** The digest of a local file, without a server. */

import { fileDigest } from "../format/digests.js";
import { BlockBuffers } from "./buffers.js";
import { hashBlocks } from "./hashing.js";
import { findFile } from "./sources.js";

/**
 * The digest of a local file, as docs/protocol.md defines it: what the server has for the same content.
 *
 * @throws {LocalFileError} It is missing, cannot be read, or changes meanwhile.
 */
export async function hashFile(localPath: string): Promise<Buffer> {
  const sources = [await findFile(localPath)];
  const digests: Uint8Array[] = [];
  for await (const batch of hashBlocks(sources, new BlockBuffers())) {
    for (const block of batch) {
      if (block.data.length > 0) digests.push(block.digest);
      block.release();
    }
  }
  return fileDigest(digests);
}
