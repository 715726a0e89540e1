// What the server does, in numbers: rates and times out of two readings of its metrics.

import { call } from "../calls.js";
import { el, show, svg } from "../dom.js";
import { failure } from "../post_card.js";

const EVERY_MS = 1000;
const POINTS_MAX = 90;
// A stream ends with CANCELLED when its client is gone, and never with OK.
const NO_ERRORS = ["OK", "CANCELLED"];
const INFO = "whimbrel.v1.MetaService/GetServerInfo";

export function numbers() {
  const tiles = new Map();
  const grid = el("div", { class: "tiles" });
  const calls = el("div", { class: "card" });
  const all = el("pre", { class: "result" });
  const filter = el("input", { type: "search", placeholder: "Find a metric", "aria-label": "Find a metric", oninput: () => list() });
  const problem = el("div");
  const about = el("p", { class: "context" });
  let before;
  let text = "";

  function list() {
    const lines = text.split("\n").filter((line) => !line.startsWith("#") && line.includes(filter.value));
    all.textContent = lines.join("\n");
  }

  async function read() {
    text = (await call("whimbrel.v1.AdminService/GetMetrics", {}, { quiet: true })).text ?? "";
    const now = { at: performance.now(), samples: parse(text) };
    // A server that was started again counts from zero.
    if (before && now.samples.get("process_start_time_seconds")?.[0].value === before.samples.get("process_start_time_seconds")?.[0].value) {
      for (const [name, value, unit] of figures(before, now)) tile(name).add(value, unit);
      show(calls, table(before, now));
    }
    before = now;
    list();
    show(problem);
  }

  function tile(name) {
    if (!tiles.has(name)) {
      const made = new Tile(name);
      tiles.set(name, made);
      grid.append(made.node);
    }
    return tiles.get(name);
  }

  let isReading = false;
  const renew = async () => {
    if (document.hidden || isReading) return;
    isReading = true;
    await read().catch((error) => show(problem, failure(error)));
    isReading = false;
  };
  renew();
  const timer = setInterval(renew, EVERY_MS);
  call(INFO, {}, { quiet: true }).then(({ version, logId }) => (about.textContent = `Whimbrel ${version}, log ${logId}`)).catch(() => {});
  return {
    node: el("section", { class: "main full" }, el("h1", null, "Numbers"), about, problem, grid, calls, el("div", { class: "card" }, filter, all)),
    stop: () => clearInterval(timer),
  };
}

/** Reads Prometheus' text format: samples by the name of their metric. */
export function parse(text) {
  const samples = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/.exec(line);
    if (!match) continue;
    const [, name, labels = "", value] = match;
    const of = Object.fromEntries([...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, key, text]) => [key, text]));
    if (!samples.has(name)) samples.set(name, []);
    samples.get(name).push({ labels: of, value: value === "+Inf" ? Infinity : Number(value) });
  }
  return samples;
}

const total = (samples, name, filter = () => true) => (samples.get(name) ?? []).filter((it) => filter(it.labels)).reduce((sum, it) => sum + it.value, 0);

function rate(before, now, name, filter) {
  return (1000 * (total(now.samples, name, filter) - total(before.samples, name, filter))) / (now.at - before.at);
}

/** The bound under which a part of the values between two readings were, in seconds; `undefined` without a value. */
function quantile(before, now, name, part, filter = () => true) {
  const bounds = new Map();
  for (const [of, sign] of [[now, 1], [before, -1]]) {
    for (const { labels, value } of of.samples.get(`${name}_bucket`) ?? []) {
      if (!filter(labels)) continue;
      const bound = labels.le === "+Inf" ? Infinity : Number(labels.le);
      bounds.set(bound, (bounds.get(bound) ?? 0) + sign * value);
    }
  }
  const counted = bounds.get(Infinity) ?? 0;
  if (counted <= 0) return undefined;
  return [...bounds].sort(([a], [b]) => a - b).find(([, count]) => count >= part * counted)[0];
}

function figures(before, now) {
  const perSecond = (name, filter) => rate(before, now, name, filter);
  const ms = (name, filter) => {
    const seconds = quantile(before, now, name, 0.99, filter);
    return seconds === undefined ? undefined : seconds * 1000;
  };
  const isError = ({ code }) => code !== undefined && !NO_ERRORS.includes(code);
  return [
    ["Calls", perSecond("whimbrel_calls_total"), "/s"],
    ["Errors", perSecond("whimbrel_calls_total", isError), "/s"],
    ["Changes", perSecond("whimbrel_commit_batch_events_sum"), "/s"],
    ["Flush, p99", ms("whimbrel_commit_flush_seconds"), "ms"],
    ["Streams", total(now.samples, "whimbrel_streams_open"), ""],
    ["Deliveries", perSecond("whimbrel_deliveries_total"), "/s"],
    ["Commit to delivery, p99", ms("whimbrel_delivery_delay_seconds"), "ms"],
    ["Connections", total(now.samples, "whimbrel_connections_open"), ""],
    ["Revision", total(now.samples, "whimbrel_log_head_revision"), ""],
    ["Log", ...size(total(now.samples, "whimbrel_log_bytes"))],
    ["Memory", ...size(total(now.samples, "process_resident_memory_bytes"))],
    ["Processor", 100 * perSecond("process_cpu_seconds_total"), "%"],
  ];
}

function size(bytes) {
  const step = Math.min(3, Math.max(0, Math.floor(Math.log2(bytes || 1) / 10)));
  return [bytes / 1024 ** step, ["B", "KiB", "MiB", "GiB"][step]];
}

function table(before, now) {
  const rpcs = [...new Set((now.samples.get("whimbrel_calls_total") ?? []).map(({ labels }) => labels.rpc))];
  const rows = rpcs.map((rpc) => {
    const of = (labels) => labels.rpc === rpc;
    const errors = (labels) => of(labels) && !NO_ERRORS.includes(labels.code);
    return { rpc, all: total(now.samples, "whimbrel_calls_total", of), perSecond: rate(before, now, "whimbrel_calls_total", of),
      errors: total(now.samples, "whimbrel_calls_total", errors), p50: quantile(before, now, "whimbrel_call_duration_seconds", 0.5, of),
      p99: quantile(before, now, "whimbrel_call_duration_seconds", 0.99, of) };
  });
  const called = rows.filter(({ all }) => all > 0).sort((a, b) => b.perSecond - a.perSecond || b.all - a.all);
  const ms = (seconds) => (seconds === undefined ? "" : `≤ ${rounded(seconds * 1000)} ms`);
  return el("table", { class: "numbers" },
    el("tr", null, ["call", "a second", "p50", "p99", "in all", "errors"].map((title) => el("th", null, title))),
    called.map((it) => el("tr", null, el("td", null, it.rpc), [rounded(it.perSecond), ms(it.p50), ms(it.p99), it.all, it.errors].map((value) => el("td", null, String(value))))));
}

function rounded(value) {
  if (value === undefined || !Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return value >= 100 ? Math.round(value).toLocaleString("en") : value.toPrecision(3).replace(/\.?0+$/, "");
}

class Tile {
  constructor(name) {
    this.values = [];
    this.figure = el("b");
    this.line = svg("polyline", { class: "spark" });
    this.node = el("div", { class: "card tile" }, el("span", { class: "context" }, name), this.figure,
      svg("svg", { viewBox: "0 0 100 28", preserveAspectRatio: "none", "aria-hidden": true }, this.line));
  }

  add(value, unit) {
    this.figure.textContent = value === undefined ? "–" : `${rounded(value)} ${unit}`;
    this.values.push(value ?? this.values.at(-1) ?? 0);
    if (this.values.length > POINTS_MAX) this.values.shift();
    const [low, high] = [Math.min(...this.values), Math.max(...this.values)];
    const y = (of) => (high > low ? 26 - (24 * (of - low)) / (high - low) : 26);
    this.line.setAttribute("points", this.values.map((of, at) => `${(100 * at) / (POINTS_MAX - 1)},${y(of)}`).join(" "));
  }
}
