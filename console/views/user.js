// A user: counts, what is between them and the reader, the graph around them, and their posts.

import { call } from "../calls.js";
import { button, el, show, svg } from "../dom.js";
import { act, avatar, failure, postCard, userLink } from "../post_card.js";

const GRAPH = "whimbrel.v1.GraphService";
const DRAWN_MAX = 14;

export function user({ me, user: id }) {
  const head = el("div", { class: "card profile" });
  const drawing = el("div", { class: "card graph" });
  const posts = el("div", { class: "list", "data-list": "posts" });
  const sides = el("div");
  const node = el("div", { class: "columns" },
    el("section", { class: "main" }, el("h1", null, id), head, drawing, posts),
    el("aside", { class: "card panel", "aria-label": "Lists" }, sides));
  const target = { userId: me, ofUserId: id };

  async function read() {
    const quiet = { quiet: true };
    const [profile, relations] = await Promise.all([
      call(`${GRAPH}/GetProfile`, target).catch((error) => error),
      call(`${GRAPH}/GetRelationships`, { userId: me, otherIds: [id] }, quiet),
    ]);
    const relation = relations.relationships?.[0] ?? {};
    show(head, avatar(id), el("div", { class: "grow" }, profile instanceof Error ? failure(profile) : counts(profile.profile), chips(relation)),
      id !== me && buttons(relation));
    if (profile instanceof Error) {
      show(drawing);
      return show(posts);
    }
    const [followers, following, page] = await Promise.all([
      call(`${GRAPH}/ListFollowers`, target, quiet), call(`${GRAPH}/ListFollowing`, target, quiet),
      call("whimbrel.v1.PostService/ListPosts", { userId: me, authorId: id, includeReplies: true, includeReposts: true }, quiet),
    ]);
    const [those, these] = [ids(followers), ids(following)];
    show(drawing, picture(id, those, these));
    show(sides, el("h2", null, "Followers"), names(those), el("h2", null, "Follows"), names(these),
      el("p", null, el("a", { href: `#/feed/${encodeURIComponent(id)}` }, `${id}'s home feed`)));
    show(posts, (page.items ?? []).map((item) => postCard({ me, view: { ...item }, by: item.repostedByUserId, changed: read })));
  }

  function buttons(relation) {
    const one = (isOn, name, undo, field, isDanger) => button(isOn ? undo : name, () => act(head, async () => {
      const service = name === "Follow" ? "whimbrel.v1.FeedService" : GRAPH;
      await call(`${service}/${isOn ? undo : name}`, { userId: me, [field]: id });
      await read();
    }), { class: name === "Follow" && !isOn ? "primary" : isDanger ? "danger" : "", "data-action": name.toLowerCase() });
    return el("div", { class: "row" },
      one(relation.following, "Follow", "Unfollow", "followeeId"), one(relation.muting, "Mute", "Unmute", "mutedId"),
      one(relation.blocking, "Block", "Unblock", "blockedId", true));
  }

  read().catch((error) => show(head, failure(error)));
  return { node, stop() {} };
}

const ids = (page) => (page.users ?? []).map(({ userId }) => userId);
const names = (list) => (list.length ? el("p", { class: "names" }, list.map(userLink)) : el("p", { class: "context" }, "nobody"));

function counts({ followerCount = 0, followingCount = 0, postCount = 0, receivedLikeCount = 0 }) {
  const one = (count, name) => el("span", { class: "figure" }, el("b", null, count), ` ${name}`);
  return el("p", { class: "figures" }, one(postCount, "posts"), one(followerCount, "followers"), one(followingCount, "follows"), one(receivedLikeCount, "likes"));
}

function chips({ following, followedBy, blocking, blockedBy, muting }) {
  const all = [[following, "you follow"], [followedBy, "follows you"], [muting, "you mute"], [blocking, "you block"], [blockedBy, "blocks you"]];
  return el("p", null, all.filter(([is]) => is).map(([, text]) => el("span", { class: "pill" }, text)));
}

/** Followers on the left, who is followed on the right, those who are both in the middle above and below. */
function picture(id, followers, following) {
  const both = followers.filter((it) => following.includes(it)).slice(0, DRAWN_MAX);
  const left = followers.filter((it) => !both.includes(it)).slice(0, DRAWN_MAX);
  const right = following.filter((it) => !both.includes(it)).slice(0, DRAWN_MAX);
  const half = Math.ceil(both.length / 2);
  const [width, height] = [720, 80 + 34 * Math.max(left.length, right.length, 4)];
  const middle = { x: width / 2, y: height / 2 };
  const column = (list, x) => list.map((it, at) => ({ it, x, y: (height * (at + 1)) / (list.length + 1) }));
  const row = (list, y) => list.map((it, at) => ({ it, x: width / 2 + (at - (list.length - 1) / 2) * 110, y }));
  const groups = [["in", column(left, 90)], ["out", column(right, width - 90)], ["both", [...row(both.slice(0, half), 24), ...row(both.slice(half), height - 24)]]];
  const lines = groups.flatMap(([kind, places]) => places.map(({ x, y }) => svg("line", { class: `edge ${kind}`, x1: x, y1: y, x2: middle.x, y2: middle.y })));
  const nodes = groups.flatMap(([kind, places]) => places.map(({ it, x, y }) => person(it, x, y, kind)));
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Who follows ${id}, and who is followed` },
    lines, nodes, person(id, middle.x, middle.y, "self"),
    svg("text", { x: 90, y: 16, class: "caption" }, "followers"), svg("text", { x: width - 90, y: 16, class: "caption" }, "follows"));
}

function person(id, x, y, kind) {
  const short = id.length > 14 ? `${id.slice(0, 13)}…` : id;
  const wide = Math.max(56, short.length * 8 + 20);
  return svg("a", { href: `#/user/${encodeURIComponent(id)}`, class: `person ${kind}` }, svg("title", null, id),
    svg("rect", { x: x - wide / 2, y: y - 13, width: wide, height: 26, rx: 13 }), svg("text", { x, y: y + 4 }, short));
}
