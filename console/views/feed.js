// A user's home feed, live: its pages, kept up to date by its stream, and the stream itself as it happens.

import { call } from "../calls.js";
import { button, el, show } from "../dom.js";
import { FeedList, revision } from "../kept_list.js";
import { Live } from "../live.js";
import { act, composer, failure, postCard } from "../post_card.js";
import { StreamPanel } from "../stream_panel.js";

const COUNTS_MS = 4000;
const COUNTED_MAX = 50;

export function feed({ me, user = me }) {
  const list = new FeedList();
  const cards = new Map();
  const items = el("div", { class: "list", "data-list": "feed" });
  const more = button("Older posts", () => act(foot, older), { hidden: true });
  const foot = el("div", { class: "row center" }, more);
  const panel = new StreamPanel();
  let pageToken = "";
  let live;
  let stopped = false;

  async function page(token) {
    const answer = await call("whimbrel.v1.FeedService/NewsFeed", { userId: user, pageToken: token }, { quiet: cards.size > 0 });
    list.addPage(answer.items ?? [], !answer.nextPageToken);
    pageToken = answer.nextPageToken ?? "";
    return answer;
  }

  async function older() {
    await page(pageToken);
    if (list.trim()) pageToken = "";
    render();
  }

  /** Reads again as many entries as there are. */
  async function readAgain() {
    const wanted = list.entries.size;
    const { processed } = list;
    list.clear();
    Object.assign(list, { processed, isStale: true });
    do await page(list.entries.size ? pageToken : "");
    while (pageToken && list.entries.size < wanted);
    list.isStale = false;
  }

  function render() {
    const shown = list.all().map((item) => {
      const key = revision(item.revision);
      if (!cards.has(key)) {
        cards.set(key, postCard({ me, view: { ...item }, by: item.repostedByUserId, changed: count }));
      }
      return cards.get(key);
    });
    for (const key of cards.keys()) if (!list.entries.has(key)) cards.delete(key);
    // Cards stay in their place, so that a selection and a focus do, too.
    shown.forEach((card, at) => items.children[at] !== card && items.insertBefore(card, items.children[at] ?? null));
    while (items.children.length > shown.length) items.lastChild.remove();
    more.hidden = !pageToken;
    if (!shown.length) items.append(el("p", { class: "empty" }, `${user}'s feed has nothing yet: follow somebody, or publish.`));
  }

  /** Counts are not in streams: they are the reader's own. */
  async function count() {
    const postIds = [...new Set(list.all().map((item) => item.post.postId))].slice(0, COUNTED_MAX);
    if (!postIds.length) return;
    const answer = await call("whimbrel.v1.PostService/GetPosts", { userId: me, postIds }, { quiet: true });
    const views = new Map((answer.posts ?? []).map((view) => [view.post.postId, view]));
    for (const card of cards.values()) {
      const view = views.get(card.dataset.post);
      if (view) card.update(view);
    }
  }

  async function onmessage(kind, content) {
    panel.message(kind, content);
    if (kind === "reset") list.clear();
    if (kind !== "batch") return;
    list.apply(content.events);
    if (list.isStale) await readAgain();
    // The token is of a position below those that are left out.
    if (list.trim()) pageToken = "";
    render();
  }

  async function start() {
    const { cursor } = await page("");
    render();
    if (stopped) return;
    live = new Live("whimbrel.v1.FeedService/WatchFeed", { userId: user }, { cursor, onmessage, onstate: (...state) => panel.state(...state) });
  }
  start().catch((error) => show(items, failure(error)));
  const timer = setInterval(() => document.hidden || count().catch(() => {}), COUNTS_MS);

  const node = el("div", { class: "columns" },
    el("section", { class: "main", "aria-label": "Home feed" },
      el("h1", null, user === me ? "Home feed" : `Home feed of ${user}`),
      user === me && composer({ me, label: "What is happening? (n)" }), items, foot),
    panel.node);
  return {
    node,
    stop() {
      stopped = true;
      clearInterval(timer);
      live?.stop();
    },
  };
}
