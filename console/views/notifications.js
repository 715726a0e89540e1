// A user's notifications, live.

import { call } from "../calls.js";
import { button, el, show, timeOf } from "../dom.js";
import { NotificationList } from "../kept_list.js";
import { Live } from "../live.js";
import { act, avatar, failure, postLink, userLink } from "../post_card.js";
import { richText } from "../facets.js";
import { StreamPanel } from "../stream_panel.js";

const SERVICE = "whimbrel.v1.NotificationService";
const WORDS = {
  KIND_FOLLOW: "follows you", KIND_LIKE: "likes your post", KIND_REPOST: "reposted your post",
  KIND_REPLY: "replied to you", KIND_QUOTE: "quoted you", KIND_MENTION: "mentioned you",
};

export function notifications({ me }) {
  const list = new NotificationList();
  const items = el("div", { class: "list", "data-list": "notifications" });
  const unseen = el("span", { class: "pill" });
  const head = el("div", { class: "row" }, el("h1", null, "Notifications"), unseen,
    button("Mark all as seen", () => act(head, async () => {
      await call(`${SERVICE}/MarkNotificationsSeen`, { userId: me });
      await read();
    })));
  const panel = new StreamPanel();
  let live;
  let seenUntil = 0n;
  let stopped = false;

  async function read() {
    const answer = await call(`${SERVICE}/ListNotifications`, { userId: me }, { quiet: Boolean(live) });
    const { processed } = list;
    list.clear();
    list.processed = processed;
    list.addPage(answer.notifications ?? [], !answer.nextPageToken);
    seenUntil = BigInt(answer.seenUntilRevision ?? 0);
    unseen.textContent = `${answer.unseenCount ?? 0} unseen`;
    render();
    return answer;
  }

  function render() {
    const all = list.all();
    show(items, all.map((it) => one(it, BigInt(it.revision) > seenUntil)));
    if (!all.length) items.append(el("p", { class: "empty" }, "There is nothing yet."));
  }

  async function onmessage(kind, content) {
    panel.message(kind, content);
    if (kind === "reset") list.clear();
    if (kind !== "batch") return;
    list.apply(content.events);
    // With the count of the unseen, which is not in the stream.
    await read();
  }

  read().then(({ cursor }) => {
    if (stopped) return;
    live = new Live(`${SERVICE}/WatchNotifications`, { userId: me }, { cursor, onmessage, onstate: (...state) => panel.state(...state) });
  }).catch((error) => show(items, failure(error)));

  return {
    node: el("div", { class: "columns" }, el("section", { class: "main" }, head, items), panel.node),
    stop() {
      stopped = true;
      live?.stop();
    },
  };
}

function one({ actorId, kind, createTime, subjectPostId, post }, isNew) {
  const about = post?.postId ?? subjectPostId;
  return el("article", { class: isNew ? "card notification new" : "card notification" }, avatar(actorId),
    el("div", { class: "body" },
      el("header", null, userLink(actorId), ` ${WORDS[kind] ?? "did what this console does not know"} `, about ? postLink(about, timeOf(createTime)) : timeOf(createTime)),
      post && el("p", { class: "text" }, richText(post))));
}
