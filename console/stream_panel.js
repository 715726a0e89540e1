// What a stream does, as it happens: its state, its messages and its breaks.

import { el } from "./dom.js";

const LINES_MAX = 60;
const STATES = {
  opening: "connecting", open: "open", live: "live", lost: "connection lost", ended: "ended",
};

export class StreamPanel {
  constructor() {
    this.pill = el("span", { class: "pill", "data-state": "opening" }, STATES.opening);
    this.lines = el("ol", { class: "stream-lines" });
    this.node = el("aside", { class: "card panel", "aria-label": "The stream" },
      el("header", { class: "row" }, el("h2", null, "Stream"), this.pill), this.lines);
    this.wasLost = false;
  }

  state(state, error) {
    this.pill.dataset.state = state;
    this.pill.textContent = STATES[state];
    if (state === "lost" && !this.wasLost) this.line("lost", error?.message ?? "");
    if (state === "ended") this.line("ended", error?.message ?? "");
    if (state === "open" && this.wasLost) this.line("resumed", "after the last cursor");
    if (state === "lost") this.wasLost = true;
    if (state === "open") this.wasLost = false;
  }

  message(kind, content) {
    const events = content.events?.map(({ revision, pageAgainRevision, ...change }) => Object.keys(change)[0] ?? "unknown");
    this.line(kind, events ? events.join(", ") : content.reason ?? "", content.cursor);
  }

  line(kind, text, cursor) {
    const time = new Date().toLocaleTimeString();
    this.lines.prepend(el("li", { "data-kind": kind },
      el("span", { class: "when" }, time), el("b", null, kind), " ", text, cursor && el("code", { title: cursor }, `…${cursor.slice(-6)}`)));
    while (this.lines.children.length > LINES_MAX) this.lines.lastChild.remove();
  }
}
