/** Whether a file is still as it was found. */

import type { BigIntStats } from "node:fs";

/** What changes when a file is written or replaced. */
export function stampOf(status: BigIntStats): string {
  return `${status.dev} ${status.ino} ${status.size} ${status.mtimeNs}`;
}
