// A client in TypeScript, in Node: Alice follows Bob, reads her feed page by page, and watches it from there, for as long as
// it runs. When the server stops, it connects again and goes on after the last message that it has processed.
//
// README.md says how to run it.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";

import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";

import { FeedService } from "./gen/whimbrel/v1/feed_service_pb.js";
import type { FeedItem } from "./gen/whimbrel/v1/post_pb.js";

const address = process.argv[2] ?? "127.0.0.1:50051";
// The longest time of a call that is no stream.
const timeoutMs = 10_000;
// The first pause before a stream is opened again, and the longest one.
const pauseMinMs = 100;
const pauseMaxMs = 5_000;
// The errors after which a stream is opened again. What Node says of a lost connection becomes one of the latter two.
const passing = new Set([Code.Unavailable, Code.ResourceExhausted, Code.Aborted, Code.Canceled]);

// HTTP/2 without TLS: one connection for all calls and streams. `createGrpcTransport` does the same by gRPC.
const transport = createConnectTransport({ baseUrl: `http://${address}`, httpVersion: "2" });
const feed = createClient(FeedService, transport);

/** Follows, publishes and reads all pages. Returns the position of the first page. */
async function start(): Promise<string> {
  const { changed } = await feed.follow({ userId: "alice", followeeId: "bob" }, { timeoutMs });
  console.log("alice follows bob, changed:", changed);

  // With the same request id a repeat of this call, as after `Code.Unavailable`, publishes no second post.
  await feed.publish({ userId: "bob", text: "The tide goes out.", requestId: randomUUID() }, { timeoutMs });

  let pageToken = "";
  for (;;) {
    const page = await feed.newsFeed({ userId: "alice", pageSize: 2, pageToken }, { timeoutMs });
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

try {
  let cursor = await start();
  for (let pauseMs = pauseMinMs; ; pauseMs = Math.min(2 * pauseMs, pauseMaxMs)) {
    try {
      // A program that ends and comes back stores the cursor.
      for await (cursor of watch(cursor)) pauseMs = pauseMinMs;
    } catch (error) {
      const { code } = ConnectError.from(error);
      if (!passing.has(code)) throw error;
      console.log("connecting again:", Code[code]);
    }
    await setTimeout(pauseMs);
  }
} catch (error) {
  console.error(`${address}:`, ConnectError.from(error).message);
  process.exitCode = 1;
}
