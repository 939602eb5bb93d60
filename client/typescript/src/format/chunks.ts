/**
 * Hand-made coding of the message that carries bulk data up, WriteBlocksRequest.
 *
 * It is ordinary protobuf on the wire; a generated message would copy every megabyte three times.
 */

// Tags: field number << 3 | wire type.
const CHUNK = 0x12;
const DIGEST = 0x0a;
const SIZE = 0x10;
const DATA = 0x1a;

/** What a message takes besides its data, at most. */
export const MAX_HEAD = 64;

/**
 * Serialize a WriteBlocksRequest with a chunk into `buffer`, which has room for it; `first` comes with the first chunk of a
 * block. Copies its data once.
 */
export function encodeChunk(buffer: Buffer, data: Uint8Array, first?: { digest: Uint8Array; size: number }): Buffer {
  const head: number[] = [];
  if (first !== undefined) {
    head.push(DIGEST, first.digest.length, ...first.digest, SIZE);
    pushVarint(head, first.size);
  }
  head.push(DATA);
  pushVarint(head, data.length);
  const outer: number[] = [CHUNK];
  pushVarint(outer, head.length + data.length);
  const start = outer.length + head.length;
  const message = buffer.subarray(0, start + data.length);
  message.set(outer, 0);
  message.set(head, outer.length);
  message.set(data, start);
  return message;
}

function pushVarint(out: number[], value: number): void {
  while (value >= 0x80) {
    out.push((value & 0x7f) | 0x80);
    value >>>= 7;
  }
  out.push(value);
}
