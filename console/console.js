// The console: who acts, where to go, and how the last call is made in a shell. Each view is a file in views/.

import { made, setToken, shellLines, token } from "./calls.js";
import { button, el, shellLine, show } from "./dom.js";
import { calls } from "./views/calls.js";
import { feed } from "./views/feed.js";
import { notifications } from "./views/notifications.js";
import { numbers } from "./views/numbers.js";
import { post } from "./views/post.js";
import { user } from "./views/user.js";

const USER = "whimbrel.user";
const THEME = "whimbrel.theme";
const STREAMS = /\/(Watch\w+|ReadSegment|CheckIndex)$/;

const me = () => localStorage.getItem(USER) ?? "alice";

/** The views, by the first part of the address. */
const VIEWS = {
  feed: ([of]) => feed({ me: me(), user: of || me() }),
  post: ([postId]) => post({ me: me(), postId }),
  quote: ([postId]) => post({ me: me(), postId, quotes: true }),
  user: ([of]) => user({ me: me(), user: of || me() }),
  notifications: () => notifications({ me: me() }),
  calls: (rpc) => calls({ me: me(), rpc: rpc.join("/") }),
  numbers: () => numbers(),
};
const TABS = [["feed", "Feed"], ["user", "Profile"], ["notifications", "Notifications"], ["calls", "Calls"], ["numbers", "Numbers"]];
const KEYS = [
  ["1 – 5", "feed, profile, notifications, calls, numbers"], ["u", "act as another user"], ["g", "go to a user"], ["n", "write a post"],
  ["j, k", "next, previous"], ["Enter", "open the thread"], ["l, r, x", "like, repost, delete"], ["t", "dark or light"], ["?", "this help"],
];

const place = el("main", { id: "view", tabindex: -1 });
const shell = el("section", { class: "last-call", "aria-label": "The last call" });
const tabs = TABS.map(([name, title]) => el("a", { href: `#/${name}` }, title));
const acting = el("input", {
  value: me(), "aria-label": "Act as", size: 14, spellcheck: "false",
  onchange: () => {
    localStorage.setItem(USER, acting.value.trim() || "alice");
    acting.blur();
    route();
  },
});
const search = el("input", {
  type: "search", placeholder: "Go to a user (g)", "aria-label": "Go to a user", size: 14, spellcheck: "false",
  onchange: () => {
    if (search.value.trim()) location.hash = `#/user/${encodeURIComponent(search.value.trim())}`;
    search.value = "";
    search.blur();
  },
});
const secret = el("input", {
  type: "password", value: token(), placeholder: "token", "aria-label": "Token", size: 8, autocomplete: "off",
  onchange: () => {
    setToken(secret.value.trim());
    route();
  },
});
const help = el("dialog", { "aria-label": "Keys" }, el("h2", null, "Keys"),
  el("table", null, KEYS.map(([key, does]) => el("tr", null, el("td", null, el("kbd", null, key)), el("td", null, does)))),
  button("Close", () => help.close()));

let current;

function route() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/").map(decodeURIComponent);
  const known = Object.hasOwn(VIEWS, name) ? name : "feed";
  current?.stop();
  current = VIEWS[known](rest);
  show(place, current.node);
  tabs.forEach((tab) => (tab.hash === `#/${known}` ? tab.setAttribute("aria-current", "page") : tab.removeAttribute("aria-current")));
  document.title = `Whimbrel · ${known}`;
}

function setTheme(theme) {
  if (theme) localStorage.setItem(THEME, theme);
  const stored = localStorage.getItem(THEME);
  if (stored) document.documentElement.dataset.theme = stored;
}

function toggleTheme() {
  const isDark = document.documentElement.dataset.theme === "dark" || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(isDark ? "light" : "dark");
}

/** Moves the focus by `step` entries of the list that is shown. */
function move(step) {
  const all = [...place.querySelectorAll(".list .card.post")];
  const at = all.indexOf(document.activeElement?.closest(".card.post"));
  const next = all[Math.min(all.length - 1, Math.max(0, at + step))];
  next?.focus();
  next?.scrollIntoView({ block: "nearest" });
}

function onkey(event) {
  const isTyping = event.target.closest("input, textarea, dialog");
  if (event.key === "Escape") document.activeElement?.blur();
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const keys = {
    j: () => move(1), k: () => move(-1), t: toggleTheme, "?": () => help.showModal(),
    u: () => acting.select(), g: () => search.focus(), n: () => place.querySelector(".composer textarea")?.focus(),
  };
  TABS.forEach(([name], at) => (keys[at + 1] = () => (location.hash = `#/${name}`)));
  if (!keys[event.key]) return;
  event.preventDefault();
  keys[event.key]();
}

made.addEventListener("call", ({ detail: { rpc, message } }) => {
  const lines = shellLines(rpc, message, STREAMS.test(rpc));
  show(shell, el("a", { href: `#/calls/${rpc}`, class: "context" }, rpc.split("/")[1]), Object.entries(lines).map(([tool, line]) => shellLine(tool, line)));
});
addEventListener("hashchange", route);
addEventListener("keydown", onkey);
setTheme();
document.body.append(
  el("header", { class: "top" },
    el("a", { href: "#/feed", class: "brand" }, el("img", { src: "icon.svg", alt: "", width: 26, height: 26 }), "Whimbrel"),
    el("nav", { "aria-label": "Views" }, tabs), el("span", { class: "grow" }), search,
    el("label", { class: "acting" }, el("span", null, "acting as "), acting), secret,
    button("◐", toggleTheme, { title: "Dark or light (t)", "aria-label": "Dark or light" }), button("?", () => help.showModal(), { title: "Keys (?)" })),
  place, shell, help);
route();
