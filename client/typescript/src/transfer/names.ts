/** Names that a local file system cannot hold, or would mix up. */

import { randomBytes } from "node:crypto";
import { access, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";

import { LocalFileError } from "../errors.js";

const RESERVED = /^(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?$/i;
const WINDOWS_FORBIDDEN = /[<>:"|?*]/;

/** Whether the file system of `directory` takes two names that differ in case for the same file. */
export async function isFolding(directory: string): Promise<boolean> {
  const name = `.holdfast-Probe-${randomBytes(8).toString("hex")}`;
  const probe = join(directory, name);
  try {
    await writeFile(probe, "", { flag: "wx" });
  } catch (cause) {
    throw new LocalFileError(`${directory} cannot be written: ${(cause as Error).message}.`, { cause });
  }
  try {
    await access(join(directory, name.toLowerCase()));
    return true;
  } catch {
    return false;
  } finally {
    await unlink(probe);
  }
}

/**
 * Refuse a path that this platform cannot write.
 *
 * @throws {LocalFileError} It has a name that the platform reserves.
 */
export function checkPlatform(path: string, platform: string = process.platform): void {
  if (platform !== "win32") return;
  for (const component of path.split("/")) {
    if (RESERVED.test(component) || WINDOWS_FORBIDDEN.test(component)) {
      throw new LocalFileError(`${path} cannot be written on Windows, which reserves ${component}.`);
    }
  }
}

/** Paths on a file system that folds case and normalizes; each is checked against those before. */
export class FoldedPaths {
  private readonly seen = new Map<string, string>();

  /**
   * Note a path.
   *
   * @throws {LocalFileError} It would be the same file as another one; both are named.
   */
  add(path: string): void {
    const folded = path.normalize("NFC").toLowerCase();
    const other = this.seen.get(folded) ?? path;
    this.seen.set(folded, path);
    if (other !== path) {
      throw new LocalFileError(
        `${other} and ${path} would be the same file here. Download them to different directories.`,
      );
    }
  }
}
