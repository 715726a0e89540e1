// A post with its thread, and who likes, reposted and quotes it.

import { call } from "../calls.js";
import { button, el, show } from "../dom.js";
import { act, composer, failure, postCard, postLink, userLink } from "../post_card.js";

const POSTS = "whimbrel.v1.PostService";
const GAPS = { GAP_REASON_DELETED: "deleted", GAP_REASON_HIDDEN: "hidden: one of you blocks the other" };

export function post({ me, postId, quotes = false }) {
  const thread = el("div", { class: "list", "data-list": "thread" });
  const lists = el("div");
  const node = el("div", { class: "columns" },
    el("section", { class: "main" }, el("h1", null, "Thread"), thread),
    el("aside", { class: "card panel", "aria-label": "Reactions" }, lists));
  const target = { userId: me, postId };

  function entry(it, isLarge) {
    const place = el("div", { class: `level level-${Math.min(it.depth ?? 0, 6)}` });
    if (it.view) place.append(postCard({ me, view: it.view, changed: read, large: isLarge }));
    else place.append(el("p", { class: "card gap" }, "This post is not shown: ", GAPS[it.gap] ?? "unknown", " ", el("code", null, it.postId)));
    if (it.hasMoreReplies && !isLarge) place.append(el("p", { class: "context" }, postLink(it.postId, "more replies")));
    return place;
  }

  async function read() {
    const answer = await call(`${POSTS}/GetThread`, target);
    const further = el("div");
    if (answer.nextPageToken) further.append(more(answer.nextPageToken, further));
    const reply = composer({ me, label: "Reply", extra: { replyToPostId: postId }, published: read });
    const quote = composer({ me, label: "Quote this post", extra: { quotePostId: postId }, published: read });
    show(thread, (answer.ancestors ?? []).map((it) => entry(it)), entry(answer.post, true),
      answer.post.view && (quotes ? [quote, reply] : reply), (answer.replies ?? []).map((it) => entry(it)), further);
    if (quotes) quote.querySelector("textarea").focus();
    const [likes, reposts, quoted] = await Promise.all([
      call(`${POSTS}/ListLikes`, target, { quiet: true }), call(`${POSTS}/ListReposts`, target, { quiet: true }), call(`${POSTS}/ListQuotes`, target, { quiet: true }),
    ]);
    show(lists, people("Likes", likes), people("Reposts", reposts), el("h2", null, "Quotes"),
      quoted.posts?.length ? quoted.posts.map((view) => postCard({ me, view, changed: read })) : none());
  }

  function more(pageToken, where) {
    return button("More replies", () => act(where, async () => {
      const answer = await call(`${POSTS}/GetThread`, { ...target, pageToken });
      show(where, (answer.replies ?? []).map((it) => entry(it)), answer.nextPageToken && more(answer.nextPageToken, where));
    }));
  }

  read().catch((error) => {
    show(thread, failure(error));
    show(lists);
  });
  return { node, stop() {} };
}

const none = () => el("p", { class: "context" }, "none");

function people(title, { users, nextPageToken }) {
  const names = users?.length ? el("p", { class: "names" }, users.map(({ userId }) => userLink(userId))) : none();
  return [el("h2", null, title), names, nextPageToken && el("p", { class: "context" }, "and more")];
}
