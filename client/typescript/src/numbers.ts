/** Whole numbers of 64 bits as JavaScript's numbers, which are exact up to 2^53. */

import { InvalidArgumentError, OutOfRangeError } from "./errors.js";

/**
 * A number of the server's.
 *
 * @throws {OutOfRangeError} It is beyond what a number holds exactly; it is never rounded.
 */
export function toNumber(value: bigint, what: string): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) {
    throw new OutOfRangeError(
      `${what} is ${value}, more than a number of JavaScript holds exactly; read it with the generated messages.`,
    );
  }
  return number;
}

/**
 * A number for the server.
 *
 * @throws {InvalidArgumentError} It is not whole, or too large to be exact.
 */
export function toInt64(value: number | bigint, what: string): bigint {
  if (typeof value === "bigint") return BigInt.asIntN(64, value) === value ? value : refuse(value, what);
  return Number.isSafeInteger(value) ? BigInt(value) : refuse(value, what);
}

function refuse(value: number | bigint, what: string): never {
  throw new InvalidArgumentError(
    `${what} is a whole number, exact (up to 2^53 as a number, 64 bits as a bigint), not ${value}.`,
  );
}
