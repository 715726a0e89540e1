// Calls of the API by Connect: one message by `call`, a stream by `stream`. Remembers the last call, so that the
// console can say how it is made in a shell. Never keeps a token beyond this tab.

const TOKEN = "whimbrel.token";
const END_OF_STREAM = 2;
// A server that is started again is back by then.
const PATIENCE_MS = 10_000;
const RETRY_MS = 400;

/** What the server refused, with the details of its error. */
export class CallError extends Error {
  constructor({ code = "unknown", message = "", details = [] }) {
    super(message || code);
    this.code = code;
    const of = (type) => details.find((detail) => detail.type === type)?.debug;
    const info = of("google.rpc.ErrorInfo");
    this.reason = info?.reason ?? "";
    this.metadata = info?.metadata ?? {};
    this.retryMs = parseFloat(of("google.rpc.RetryInfo")?.retryDelay ?? "0") * 1000;
  }

  /** Whether the same call may succeed a little later. */
  get passes() {
    return ["unavailable", "resource_exhausted", "deadline_exceeded", "aborted", "unknown"].includes(this.code);
  }
}

/** Tells of each call that is made: `detail` has its RPC and its message. */
export const made = new EventTarget();

export const token = () => sessionStorage.getItem(TOKEN) ?? "";
export const setToken = (text) => (text ? sessionStorage.setItem(TOKEN, text) : sessionStorage.removeItem(TOKEN));

function headers(type) {
  const all = { "content-type": type, "connect-protocol-version": "1" };
  if (token()) all.authorization = `Bearer ${token()}`;
  return all;
}

async function send(rpc, type, body, signal) {
  try {
    return await fetch(`/${rpc}`, { method: "POST", headers: headers(type), body, signal, cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new CallError({ code: "unavailable", message: "the server cannot be reached" });
  }
}

async function errorOf(response) {
  const text = await response.text();
  try {
    return new CallError(JSON.parse(text));
  } catch {
    return new CallError({ code: "unknown", message: `${response.status}: ${text.trim()}` });
  }
}

/**
 * Calls `rpc`, such as `whimbrel.v1.FeedService/Follow`, and gives its response. `quiet` calls are not remembered. Any
 * other one is made again while the server cannot be reached, unless it is to be made `once`: so its message must be
 * one that may arrive twice.
 */
export async function call(rpc, message, { signal, quiet = false, once = quiet } = {}) {
  if (!quiet) made.dispatchEvent(new CustomEvent("call", { detail: { rpc, message } }));
  for (const until = Date.now() + PATIENCE_MS; ; await new Promise((resolve) => setTimeout(resolve, RETRY_MS))) {
    try {
      return await callOnce(rpc, message, signal);
    } catch (error) {
      if (once || error.code !== "unavailable" || Date.now() > until) throw error;
    }
  }
}

async function callOnce(rpc, message, signal) {
  const response = await send(rpc, "application/json", JSON.stringify(message), signal);
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

/** The messages of the stream of `rpc`. Ends with an error, as each stream of this API does. */
export async function* stream(rpc, message, { signal, quiet = false } = {}) {
  if (!quiet) made.dispatchEvent(new CustomEvent("call", { detail: { rpc, message } }));
  const response = await send(rpc, "application/connect+json", frame(JSON.stringify(message)), signal);
  if (!response.ok) throw await errorOf(response);
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let bytes = new Uint8Array();
  for (;;) {
    for (let end; (end = frameEnd(bytes)); bytes = bytes.subarray(end)) {
      const content = JSON.parse(decoder.decode(bytes.subarray(5, end)));
      if (!(bytes[0] & END_OF_STREAM)) {
        yield content;
        continue;
      }
      if (content.error) throw new CallError(content.error);
      return;
    }
    const next = await read(reader, signal);
    const joined = new Uint8Array(bytes.length + next.length);
    joined.set(bytes);
    joined.set(next, bytes.length);
    bytes = joined;
  }
}

async function read(reader, signal) {
  const lost = new CallError({ code: "unavailable", message: "the connection is lost" });
  try {
    const { done, value } = await reader.read();
    if (done) throw lost;
    return value;
  } catch (error) {
    throw signal?.aborted ? error : lost;
  }
}

function frame(text) {
  const content = new TextEncoder().encode(text);
  const all = new Uint8Array(5 + content.length);
  new DataView(all.buffer).setUint32(1, content.length);
  all.set(content, 5);
  return all;
}

/** Where the first frame of `bytes` ends; 0 if it is not whole. */
function frameEnd(bytes) {
  if (bytes.length < 5) return 0;
  const end = 5 + new DataView(bytes.buffer, bytes.byteOffset).getUint32(1);
  return bytes.length < end ? 0 : end;
}

const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

/** How a call is made in a shell. A token is a variable there. */
export function shellLines(rpc, message, isStream) {
  const json = quoted(JSON.stringify(message));
  const auth = token() ? ' -H "authorization: Bearer $TOKEN"' : "";
  const plain = location.protocol === "http:" ? "-plaintext " : "";
  const grpcurl = `grpcurl ${plain}${auth.trim()}${auth ? " " : ""}-d ${json} ${location.host} ${rpc}`;
  const watched = { "whimbrel.v1.FeedService/WatchFeed": "feeds", "whimbrel.v1.NotificationService/WatchNotifications": "notifications" }[rpc];
  if (isStream && !watched) return { grpcurl };
  const curl = isStream
    ? `curl -N${auth} '${location.origin}/v1/${watched}/${encodeURIComponent(message.userId ?? "")}/events'`
    : `curl${auth} -d ${json} -H 'content-type: application/json' ${location.origin}/${rpc}`;
  return { curl, grpcurl };
}
