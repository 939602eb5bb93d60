/** Real servers for tests: started, waited for, and stopped by their own pid. */

import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

/** The repository. */
export const ROOT = fileURLToPath(new URL("../../../../../", import.meta.url));
/** This package. */
export const PACKAGE = fileURLToPath(new URL("../../../", import.meta.url));

const PYTHON = process.env["HOLDFAST_TEST_PYTHON"] ?? join(ROOT, ".venv/bin/python");

// As in CI, where a missing server is a failure.
const REQUIRED = process.env["HOLDFAST_REQUIRE_LANGUAGES"] === "1";

/** Why tests with a server are skipped; false when they are not. */
export const SKIPPED: string | false =
  REQUIRED || existsSync(PYTHON)
    ? false
    : `NO SERVER TO TEST AGAINST: ${PYTHON} is not there; run \`make venv\` in the repository, or set HOLDFAST_TEST_PYTHON`;

/** A server that serves. */
export class Server {
  private constructor(
    private readonly process: ChildProcess,
    /** What to connect to. */
    readonly uri: string,
  ) {}

  /** Start one on a data directory, and wait until it serves. */
  static async start(dataDir: string, options: readonly string[] = ["--port", "0"]): Promise<Server> {
    const child = spawn(PYTHON, ["-m", "holdfast_server", "--data-dir", dataDir, ...options], {
      env: cleanEnvironment(),
      stdio: ["ignore", "ignore", "pipe"],
    });
    const lines: string[] = [];
    for await (const line of createInterface({ input: child.stderr })) {
      lines.push(line);
      const found = / serving on (\S+?),? /.exec(line)?.[1];
      if (found === undefined) continue;
      child.stderr.resume();
      return new Server(child, /^(holdfast|unix)/.test(found) ? found : `holdfast://${found}`);
    }
    throw new Error(`the server did not start:\n${lines.join("\n")}`);
  }

  get port(): string {
    return this.uri.slice(this.uri.lastIndexOf(":") + 1);
  }

  /** End it, well or by force, and wait until it ended. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.kill(signal);
    await ended;
  }
}

/** Run `holdfast …`, and return what it prints. */
export function holdfast(...options: string[]): string {
  const command = ["-c", "from holdfast.cli import main; main()", ...options];
  const done = spawnSync(PYTHON, command, { env: cleanEnvironment(), encoding: "utf8" });
  if (done.status !== 0) throw new Error(`holdfast ${options.join(" ")} ended with ${done.status}: ${done.stderr}`);
  return done.stdout;
}

/** This environment without settings of Holdfast that a developer may have. */
export function cleanEnvironment(extra: Record<string, string> = {}): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith("HOLDFAST_"));
  return { ...Object.fromEntries(kept), ...extra };
}

/** A directory of a test's own, with what removes it. */
export function temporaryDirectory(): { path: string; remove: () => void } {
  const path = mkdtempSync(join(tmpdir(), "holdfast-typescript-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}
