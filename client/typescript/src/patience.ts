/** How long and how often calls are repeated that found no server, and when they are given up. Times are milliseconds. */

/** How long and how often a call is repeated that found no server. */
export interface RetryPolicy {
  /** To keep trying once the server has answered before, also by saying that it is busy. */
  readonly window: number;
  /** The same before its first answer: then the address is more likely wrong than the server gone. */
  readonly firstWindow: number;
  /** Upper bound of the first pause; it doubles with each. */
  readonly initialDelay: number;
  /** Where that bound stops growing. */
  readonly maxDelay: number;
}

export const DEFAULT_RETRY: RetryPolicy = { window: 30_000, firstWindow: 5_000, initialDelay: 100, maxDelay: 2_000 };

/**
 * Pauses between attempts that bring nothing, until a window is over that begins with the first of them.
 *
 * Make a new one after progress.
 */
export class Patience {
  private failures = 0;
  private giveUpAt: number | undefined;

  constructor(
    private readonly retry: RetryPolicy,
    private readonly window: number,
  ) {}

  /**
   * Wait before the next attempt; false when there is to be none, as after `signal` is aborted.
   *
   * `told`: how long the server wants to be left alone. Half as much again is spread over its clients.
   */
  async pause(told?: number, signal?: AbortSignal): Promise<boolean> {
    const now = performance.now();
    this.giveUpAt ??= now + this.window;
    // With full jitter: clients must not come back together. "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
    const bound = Math.min(this.retry.maxDelay, this.retry.initialDelay * 2 ** this.failures);
    let delay = Math.random() * bound;
    if (told !== undefined) delay = Math.max(delay, told * (1 + Math.random() / 2));
    if (now + delay > this.giveUpAt) return false;
    this.failures += 1;
    return sleep(delay, signal);
  }
}

/** Whether the whole time passed, before `signal` was aborted. */
function sleep(milliseconds: number, signal?: AbortSignal): Promise<boolean> {
  if (signal?.aborted) return Promise.resolve(false);
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      resolve(false);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", end);
      resolve(true);
    }, milliseconds);
    signal?.addEventListener("abort", end, { once: true });
  });
}
