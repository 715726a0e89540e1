// A post with what its reader can do with it. Never decides what is shown of a list.

import { call } from "./calls.js";
import { button, el, show, timeOf } from "./dom.js";
import { richText } from "./facets.js";

const POSTS = "whimbrel.v1.PostService";
export const userLink = (id) => el("a", { class: "user", href: `#/user/${encodeURIComponent(id)}` }, id);
export const postLink = (id, ...inner) => el("a", { href: `#/post/${encodeURIComponent(id)}` }, ...inner);

/** A coloured sign with the first letter of a user. */
export function avatar(id) {
  let hash = 0;
  for (const letter of id) hash = (hash * 31 + letter.codePointAt(0)) % 12;
  return el("span", { class: `avatar hue-${hash}`, "aria-hidden": true }, [...id.replace(/^\W+/, "")][0] ?? "?");
}

/** Shows what a click brings or, if it fails, why. */
export async function act(where, action) {
  try {
    await action();
    where.querySelector(":scope > .failure")?.remove();
  } catch (error) {
    where.querySelector(":scope > .failure")?.remove();
    where.append(failure(error));
  }
}

/** An error for people: what is wrong, and its reason. */
export function failure(error) {
  return el("p", { class: "failure", role: "alert" }, error.message, " ", error.reason && el("code", null, error.reason));
}

/** A card of a post. `view` has its `post`, `counts` and `viewer`; `by` is who reposted it. */
export function postCard({ me, view, by, changed, large = false }) {
  const { post } = view;
  const card = el("article", {
    class: large ? "card post large" : "card post", tabindex: 0, "data-post": post.postId, "aria-label": `Post of ${post.authorId}`,
    onkeydown: (event) => event.target === card && byKey(event, { card, post }),
  });
  const body = el("div", { class: "body" });
  body.append(
    by ? el("p", { class: "by" }, "↻ ", userLink(by), " reposted") : "",
    el("header", null, userLink(post.authorId), postLink(post.postId, timeOf(post.createTime)),
      post.replyTo ? el("span", { class: "context" }, "in reply to ", postLink(post.replyTo.postId, post.replyTo.authorId)) : "",
      post.langs?.length ? el("span", { class: "context" }, post.langs.join(", ")) : ""),
    el("p", { class: "text" }, richText(post)),
  );
  for (const { uri, alt, mediaType } of post.attachments ?? []) {
    body.append(el("p", { class: "attachment" }, "⌷ ", alt || uri, mediaType ? ` (${mediaType})` : ""));
  }
  if (post.quotePostId) body.append(el("p", { class: "context" }, "quotes ", postLink(post.quotePostId, post.quotePostId)));
  const actions = el("footer");
  show(actions, actionsOf({ me, view, changed, card }));
  card.append(avatar(post.authorId), body);
  body.append(actions);
  card.update = (newer) => {
    Object.assign(view, newer);
    show(actions, actionsOf({ me, view, changed, card }));
  };
  return card;
}

function actionsOf({ me, view, changed, card }) {
  const { post, counts = {}, viewer = {} } = view;
  const target = { userId: me, postId: post.postId };
  const toggle = (name, undo, isDone, sign, count) => button(
    [el("span", { "aria-hidden": true }, sign), el("span", { class: "count" }, count ?? "0")],
    () => act(card, async () => {
      await call(`${POSTS}/${isDone ? undo : name}`, target);
      await changed();
    }),
    { class: isDone ? "action done" : "action", "aria-pressed": Boolean(isDone), "data-action": name.toLowerCase(), title: isDone ? undo : name },
  );
  return [
    el("a", { class: "action", href: `#/post/${encodeURIComponent(post.postId)}`, title: "Thread" }, "↩ ", el("span", { class: "count" }, counts.replyCount ?? "0")),
    toggle("Repost", "Unrepost", viewer.reposted, "↻", counts.repostCount),
    toggle("Like", "Unlike", viewer.liked, viewer.liked ? "♥" : "♡", counts.likeCount),
    el("a", { class: "action", href: `#/quote/${encodeURIComponent(post.postId)}`, title: "Quote" }, "❝ ", el("span", { class: "count" }, counts.quoteCount ?? "0")),
    post.authorId === me && button("delete", () => act(card, async () => {
      await call(`${POSTS}/DeletePost`, target);
      await changed();
    }), { class: "action danger", "data-action": "delete" }),
  ];
}

function byKey(event, { card, post }) {
  const action = { l: "like", r: "repost", x: "delete" }[event.key];
  if (event.key === "Enter" || event.key === "o") location.hash = `#/post/${encodeURIComponent(post.postId)}`;
  else if (action) card.querySelector(`[data-action="${action}"]`)?.click();
  else return;
  event.preventDefault();
}

const newId = () => [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(16).padStart(2, "0")).join("");

/** A form that publishes. `extra` are further fields of the request. */
export function composer({ me, label, extra = {}, published }) {
  const graphemes = (text) => [...new Intl.Segmenter().segment(text)].length;
  const text = el("textarea", { rows: 2, placeholder: label, "aria-label": label, name: "text" });
  const left = el("span", { class: "context" });
  const send = el("button", { type: "submit", class: "primary" }, "Publish");
  const count = () => {
    const rest = 300 - graphemes(text.value);
    left.textContent = text.value ? `${rest} left` : "";
    send.disabled = rest < 0 || !text.value.trim();
  };
  // One id for one text: a second try does not publish it twice, and another text is another post.
  let requestId = newId();
  const form = el("form", {
    class: "card composer",
    oninput: () => {
      requestId = newId();
      count();
    },
    onkeydown: (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && form.requestSubmit(),
    onsubmit: (event) => {
      event.preventDefault();
      if (send.disabled) return;
      act(form, async () => {
        const sent = { userId: me, text: text.value, requestId };
        const done = await call("whimbrel.v1.FeedService/Publish", { ...sent, ...extra });
        // What was written meanwhile stays.
        if (requestId === sent.requestId) text.value = "";
        count();
        await published?.(done);
      });
    },
  }, text, el("div", { class: "row" }, left, send));
  count();
  return form;
}
