// A playground: every RPC of the server with its documentation, called from here. Made of the description of the API
// that the server has, so that it knows no RPC itself.

import { call, shellLines, stream } from "../calls.js";
import { button, el, shellLine, show } from "../dom.js";
import { failure } from "../post_card.js";

const MESSAGES_MAX = 200;
const FIRST = ["FeedService", "PostService", "GraphService", "NotificationService"];
let description;

/** The description of the API, in OpenAPI. */
async function api() {
  description ??= await (await fetch("openapi.json")).json();
  return description;
}

export function calls({ me, rpc }) {
  const list = el("nav", { class: "card panel rpcs", "aria-label": "Calls" });
  const main = el("section", { class: "main" });
  let stop = () => {};
  api().then((all) => {
    const posts = Object.entries(all.paths).filter(([, { post }]) => post);
    const rpcs = posts.map(([path, { post }]) => ({ rpc: path.slice(1), ...post }));
    const chosen = rpcs.find((it) => it.rpc === rpc) ?? rpcs.find((it) => it.rpc.endsWith("/NewsFeed"));
    show(list, menu(rpcs, chosen));
    list.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest" });
    stop = playground(main, chosen, all.components.schemas, me);
  }).catch((error) => show(main, failure(error)));
  return { node: el("div", { class: "columns wide-right" }, list, main), stop: () => stop() };
}

function menu(rpcs, chosen) {
  const links = rpcs.map(({ rpc, tags }) => ({
    service: tags[0],
    node: el("a", { href: `#/calls/${rpc}`, "aria-current": rpc === chosen.rpc ? "page" : null }, rpc.split("/")[1]),
  }));
  const search = el("input", {
    type: "search", placeholder: "Find a call", "aria-label": "Find a call",
    oninput: () => links.forEach(({ node }) => (node.hidden = !node.textContent.toLowerCase().includes(search.value.toLowerCase()))),
  });
  const services = [...new Set([...FIRST, ...links.map(({ service }) => service)])];
  return [search, services.map((service) => [el("h2", null, service), links.filter((link) => link.service === service).map(({ node }) => node)])];
}

/** Shows one RPC in `main`. Gives what ends a call that is under way. */
function playground(main, it, schemas, me) {
  const isStream = Boolean(it["x-stream"]);
  const input = schemas[refOf(Object.values(it.requestBody.content)[0].schema)];
  const output = schemas[it["x-response"]];
  const message = el("textarea", { rows: 6, class: "code", spellcheck: "false", "aria-label": "The request, in JSON", name: "request" });
  message.value = JSON.stringify(example(input, me), null, 2);
  const lines = el("div");
  const result = el("pre", { class: "result", "data-result": "", tabindex: 0 });
  const status = el("p", { class: "context", role: "status" });
  const problem = el("p", { class: "failure", hidden: true });
  let running;

  function parsed() {
    try {
      const value = JSON.parse(message.value || "{}");
      problem.hidden = true;
      return value;
    } catch (error) {
      problem.hidden = false;
      problem.textContent = `This is no JSON: ${error.message}`;
      return undefined;
    }
  }
  function renew() {
    const value = parsed();
    if (value) show(lines, Object.entries(shellLines(it.rpc, value, isStream)).map(([tool, line]) => shellLine(tool, line)));
  }
  async function run() {
    const value = parsed();
    if (!value) return;
    running?.abort();
    running = new AbortController();
    const { signal } = running;
    const begun = performance.now();
    const took = () => `${(performance.now() - begun).toFixed(1)} ms`;
    show(result);
    status.textContent = "…";
    try {
      if (!isStream) {
        result.textContent = JSON.stringify(await call(it.rpc, value, { signal, once: true }), null, 2);
        status.textContent = `OK in ${took()}`;
        return;
      }
      let count = 0;
      for await (const next of stream(it.rpc, value, { signal })) {
        count += 1;
        result.prepend(`${JSON.stringify(next, null, 2)}\n\n`);
        while (result.childNodes.length > MESSAGES_MAX) result.lastChild.remove();
        status.textContent = `${count} messages`;
      }
      status.textContent = `OK, ${count} messages`;
    } catch (error) {
      if (signal.aborted) return void (status.textContent = `stopped after ${took()}`);
      status.textContent = `${error.code ?? "failed"} ${error.reason ?? ""} in ${took()}`;
      result.prepend(`${error.message}\n${JSON.stringify(error.metadata ?? {}, null, 2)}\n`);
    }
  }
  message.addEventListener("input", renew);
  message.addEventListener("keydown", (event) => event.key === "Enter" && (event.ctrlKey || event.metaKey) && run());
  renew();
  show(main,
    el("h1", null, it.rpc.split("/")[1]), el("p", { class: "context" }, el("code", null, it.rpc), isStream ? " streams its answers" : "", it["x-safe"] ? " · changes nothing" : ""),
    el("div", { class: "card" }, message, problem,
      el("div", { class: "row" }, button("Call (Ctrl+Enter)", run, { class: "primary", "data-action": "call" }),
        isStream && button("Stop", () => running?.abort()), status), result, lines),
    el("div", { class: "card docs" }, paragraphs(it.description), fields("Request", input, schemas), fields(isStream ? "Each message" : "Response", output, schemas)));
  return () => running?.abort();
}

const refOf = (schema) => schema.$ref?.split("/").at(-1);

/** A request with the fields that are required. */
function example(schema, me) {
  const known = { userId: me, text: "Hello.", postId: "", followeeId: "bob", blockedId: "bob", mutedId: "bob", ofUserId: me, authorId: me, otherIds: ["bob"], postIds: [] };
  const names = Object.entries(schema.properties ?? {}).filter(([name, { description = "" }]) => name in known && (/Required/.test(description) || name.endsWith("Ids")));
  return Object.fromEntries(names.map(([name]) => [name, known[name]]));
}

/** Comments of the protos: paragraphs, with code in grave accents, and lists. */
function paragraphs(text = "") {
  return text.split(/\n\n+/).filter(Boolean).map((paragraph) => {
    const [first, ...points] = paragraph.split(/\n\s+- /);
    return [el("p", null, inline(first)), points.length > 0 && el("ul", null, points.map((point) => el("li", null, inline(point))))];
  });
}

const inline = (text) => text.replace(/\s+/g, " ").split("`").map((part, at) => (at % 2 ? el("code", null, part) : part));

function fields(title, schema, schemas, depth = 0) {
  if (!schema?.properties) return schema?.enum ? el("p", null, schema.enum.join(", ")) : [];
  const rows = Object.entries(schema.properties).map(([name, field]) => {
    const ref = refOf(field) ?? refOf(field.items ?? {}) ?? refOf(field.allOf?.[0] ?? {});
    const inner = schemas[ref];
    const type = `${field.items ? "list of " : ""}${ref?.split(".").at(-1) ?? field.items?.type ?? field.type ?? ""}`;
    const nested = inner && depth < 3 && (inner.properties || inner.enum)
      ? el("details", null, el("summary", null, type), paragraphs(inner.description), fields("", inner, schemas, depth + 1)) : type;
    return el("tr", null, el("td", null, el("code", null, name)), el("td", null, nested), el("td", null, paragraphs(field.description)));
  });
  return [title && el("h2", null, title), el("table", null, rows)];
}
