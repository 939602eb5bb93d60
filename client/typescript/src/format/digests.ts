/** Digests of blocks, files and trees, as docs/protocol.md specifies them. */

import { createHash, webcrypto } from "node:crypto";

/** Bytes of a full block: a constant of the format, not a setting. */
export const BLOCK_SIZE = 8 << 20;
export const DIGEST_SIZE = 32;

const FILE_PREFIX = "holdfast-blocks-v1\0";
const TREE_PREFIX = "holdfast-tree-v1\0";
const DIRECTORY_FLAG = 1;
const EXECUTABLE_FLAG = 2;

/** Up to here hashing at once takes less than handing the bytes to another thread. */
const HASHED_AT_ONCE = 64 << 10;

/** What a tree's digest is made of; `digest` is empty for directories. */
export interface TreeItem {
  readonly path: string;
  readonly isDirectory: boolean;
  readonly executable: boolean;
  /** Bytes. */
  readonly size: number;
  readonly digest: Uint8Array;
}

/** SHA-256 of some bytes; of many, in a thread of Node's pool, so that the event loop goes on. */
export async function sha256(data: Uint8Array): Promise<Buffer> {
  if (data.length <= HASHED_AT_ONCE) return sha256Now(data);
  return Buffer.from(await webcrypto.subtle.digest("SHA-256", data as Uint8Array<ArrayBuffer>));
}

/** SHA-256 of some bytes, here and now. */
export function sha256Now(data: Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

/** How many blocks a file of `size` bytes has. */
export function blockCount(size: number): number {
  return Math.ceil(size / BLOCK_SIZE);
}

/** Bytes of block number `index` of a file of `size` bytes. */
export function blockLength(size: number, index: number): number {
  return Math.min(BLOCK_SIZE, size - index * BLOCK_SIZE);
}

/**
 * The digest of a file by those of its blocks.
 *
 * That of its block when it has one, so equal to `sha256sum`; with more, SHA-256 over a prefix and their digests. The
 * prefix keeps a crafted small file from passing for a large one.
 */
export function fileDigest(blockDigests: readonly Uint8Array[]): Buffer {
  const [first] = blockDigests;
  if (first === undefined) return sha256Now(new Uint8Array());
  if (blockDigests.length === 1) return Buffer.from(first);
  const hash = createHash("sha256").update(FILE_PREFIX);
  for (const digest of blockDigests) hash.update(digest);
  return hash.digest();
}

/** The digest of a tree; its entries may come in any order. */
export function treeDigest(items: Iterable<TreeItem>): Buffer {
  const named = Array.from(items, (item) => ({ item, path: Buffer.from(item.path) }));
  named.sort((a, b) => Buffer.compare(a.path, b.path));
  const hash = createHash("sha256").update(TREE_PREFIX);
  for (const { item, path } of named) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(path.length);
    const rest = Buffer.alloc(9);
    rest.writeUInt8((item.isDirectory ? DIRECTORY_FLAG : 0) | (item.executable ? EXECUTABLE_FLAG : 0));
    rest.writeBigUInt64BE(BigInt(item.size), 1);
    hash.update(length).update(path).update(rest);
    if (!item.isDirectory) hash.update(item.digest);
  }
  return hash.digest();
}
