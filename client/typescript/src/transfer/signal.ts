/** Wakes who waits for something to change. */

/** Something changed: `raise` wakes all who wait; they look again at what they wait for. */
export class Signal {
  private waiting: (() => void)[] = [];

  /** Wait for the next `raise`. */
  wait(): Promise<void> {
    return new Promise((resolve) => {
      this.waiting.push(resolve);
    });
  }

  raise(): void {
    const woken = this.waiting;
    this.waiting = [];
    for (const resolve of woken) resolve();
  }
}
