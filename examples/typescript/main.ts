// A client in TypeScript, in Node: Alice follows Bob, reads her feed page by page, and watches it from there, for as long as
// it runs. When the server stops, it connects again, or to another node of the same log, and goes on after the last message
// that it has processed.
//
// README.md says how to run it.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

import { FeedService } from "./gen/whimbrel/v1/feed_service_pb.js";
import type { FeedItem } from "./gen/whimbrel/v1/post_pb.js";

const addresses = process.argv.length > 2 ? process.argv.slice(2) : ["127.0.0.1:50051"];
// The longest time of a call that is no stream.
const timeoutMs = 10_000;
// The first pause before a stream is opened again, and the longest one.
const pauseMinMs = 100;
const pauseMaxMs = 5_000;
// The errors after which a stream is opened again. What Node says of a lost connection becomes one of the latter two.
const passing = new Set([Code.Unavailable, Code.ResourceExhausted, Code.Aborted, Code.Canceled]);

// HTTP/2 without TLS: one connection for all calls and streams. `createGrpcTransport` does the same by gRPC.
const transports = addresses.map((address) => createConnectTransport({ baseUrl: `http://${address}`, httpVersion: "2" }));
const nodes = transports.map((transport) => createClient(FeedService, transport));
// The node that is called, until it cannot be reached or stops.
let feed = nodes[0];

/** Calls the next node from now on. */
function moveOn() {
  feed = nodes[(nodes.indexOf(feed) + 1) % nodes.length];
}

/** Follows, publishes and reads all pages. Returns the position of the first page. */
async function start(requestId: string): Promise<string> {
  const { changed } = await feed.follow({ userId: "alice", followeeId: "bob" }, { timeoutMs });
  console.log("alice follows bob, changed:", changed);

  // With the same request id a repeat of this call, as after `Code.Unavailable`, publishes no second post.
  const { cursor } = await feed.publish({ userId: "bob", text: "The tide goes out.", requestId }, { timeoutMs });

  let pageToken = "";
  for (;;) {
    // Another node than that one may not show the post yet: it waits until it does.
    const request = { userId: "alice", pageSize: 2, pageToken, atLeastCursor: cursor };
    const page = await feed.newsFeed(request, { timeoutMs });
    page.items.forEach((item) => console.log("page:", line(item)));
    if (!page.nextPageToken) return page.cursor;
    pageToken = page.nextPageToken;
  }
}

/** Yields the cursor after each message after `cursor`, which it has printed. A stream ends with an error, always. */
async function* watch(cursor: string): AsyncGenerator<string> {
  const start = { case: "afterCursor", value: cursor } as const;
  for await (const { kind } of feed.watchFeed({ userId: "alice", start })) {
    if (kind.case === "opened") console.log("watching");
    if (kind.case === "batch") {
      for (const { change } of kind.value.events) {
        // The other kinds of events keep a list equal to the page.
        if (change.case === "posted") console.log("live:", line(change.value.item));
      }
    }
    // Unknown kinds have no case, and of the known ones only `reset` has no cursor.
    if (kind.case && kind.case !== "reset") yield kind.value.cursor;
  }
}

function line(item?: FeedItem): string {
  return `${item?.post?.authorId}: ${item?.post?.text}`;
}

/** The same at the next node, as often as there are nodes. */
async function startAnywhere(): Promise<string> {
  const requestId = randomUUID();
  for (let left = nodes.length - 1; ; left--) {
    try {
      return await start(requestId);
    } catch (error) {
      if (left === 0 || !passing.has(ConnectError.from(error).code)) throw error;
      moveOn();
    }
  }
}

try {
  let cursor = await startAnywhere();
  for (let pauseMs = pauseMinMs; ; pauseMs = Math.min(2 * pauseMs, pauseMaxMs)) {
    try {
      // A program that ends and comes back stores the cursor.
      for await (cursor of watch(cursor)) pauseMs = pauseMinMs;
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (!passing.has(code)) throw error;
      console.log("connecting again:", Code[code]);
      moveOn();
    }
    await setTimeout(pauseMs);
  }
} catch (error) {
  console.error(`${addresses.join(", ")}:`, ConnectError.from(error).message);
  process.exitCode = 1;
}
