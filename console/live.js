// A live stream that goes on when its connection breaks: it resumes after the cursor of the last message, so that
// nothing is missed and nothing comes twice. Never shows anything itself.

import { stream } from "./calls.js";

const HEARTBEAT_S = 10;
// A server sends at least a bookmark each heartbeat. Without one for so long the connection is dead.
const SILENCE_MS_MAX = 2.5 * HEARTBEAT_S * 1000;
// A server that comes back is found within a second.
const RETRY_MS = 400;

export class Live {
  /**
   * Of the stream of `rpc` with `request`, from the cursor `cursor` on or, without one, from now.
   * `onmessage(kind, content)` gets each message; `onstate(state, error)` each change of its state: `opening`,
   * `open`, `live`, `lost` or `ended`. An error in `onmessage` loses nothing: the message comes again.
   */
  constructor(rpc, request, { cursor, onmessage, onstate }) {
    Object.assign(this, { rpc, request, cursor, onmessage, onstate });
    this.stopped = false;
    this.opened = 0;
    this.run();
  }

  stop() {
    this.stopped = true;
    this.connection?.abort();
  }

  async run() {
    while (!this.stopped) {
      this.connection = new AbortController();
      const watchdog = this.watchdog(this.connection);
      let wait = RETRY_MS;
      try {
        this.onstate("opening");
        await this.receive(this.connection.signal);
      } catch (error) {
        if (this.stopped) return;
        if (error.passes === false) {
          this.onstate("ended", error);
          return;
        }
        wait = Math.max(wait, error.retryMs ?? 0);
        this.onstate("lost", error);
      } finally {
        clearInterval(watchdog);
      }
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }

  async receive(signal) {
    const start = this.cursor ? { afterCursor: this.cursor } : {};
    const request = { heartbeat: `${HEARTBEAT_S}s`, gapPolicy: "GAP_POLICY_RESET", ...this.request, ...start };
    for await (const message of stream(this.rpc, request, { signal, quiet: this.opened > 0 })) {
      this.heard = Date.now();
      const [kind, content] = Object.entries(message)[0] ?? [];
      // A later server may send kinds that are not known here.
      if (!kind) continue;
      if (kind === "opened") {
        this.opened += 1;
        this.onstate("open");
      }
      if (kind === "caughtUp") this.onstate("live");
      await this.onmessage(kind, content);
      // Stored after it is processed. After a reset only the new snapshot counts.
      this.cursor = kind === "reset" ? undefined : (content.cursor ?? this.cursor);
    }
  }

  watchdog(connection) {
    this.heard = Date.now();
    return setInterval(() => Date.now() - this.heard > SILENCE_MS_MAX && connection.abort(), 1000);
  }
}
