/**
 * The driver of the conformance suite for TypeScript: does what it is told by lines of JSON, by the client alone.
 *
 * client/conformance/README.md says what each op takes and answers.
 */

import { createInterface } from "node:readline";

import { HoldfastError } from "../src/index.js";
import { Operations } from "./operations.js";

type Json = Record<string, unknown>;
type Operation = (request: Json) => Promise<Json | undefined>;

async function main(): Promise<void> {
  const operations = new Operations();
  for await (const line of createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const { op, ...request } = JSON.parse(line) as Json & { op: string };
    const answer = await answerOf(operationOf(operations, op)(request));
    process.stdout.write(`${JSON.stringify(answer)}\n`);
  }
  await operations.close(); // a watch would keep the process alive
}

function operationOf(operations: Operations, op: string): Operation {
  const found: unknown = Object.hasOwn(Operations.prototype, op) ? Reflect.get(operations, op) : undefined;
  if (typeof found !== "function" || op === "constructor") throw new Error(`there is no op ${op}`);
  return found.bind(operations) as Operation;
}

async function answerOf(work: Promise<Json | undefined>): Promise<Json> {
  try {
    return { ok: (await work) ?? {} };
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const { code, reason, text, requestId } = error;
    return { error: { code, reason, message: text, request_id: requestId } };
  }
}

await main();
