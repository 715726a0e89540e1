// A live feed in plain JavaScript: a browser's own EventSource resumes it after any break, also after a restart of the
// server, without a missing and without a repeated post. Calls are POSTs of JSON.

const [who, publish] = ["who", "publish"].map((id) => document.getElementById(id));
const [feed, state, result] = ["feed", "state", "result"].map((id) => document.getElementById(id));
const ITEMS_MAX = 200;
let source;

function item({ post, repostedByUserId }) {
  const line = document.createElement("li");
  line.dataset.post = post.postId;
  line.dataset.by = repostedByUserId || post.authorId;
  const author = document.createElement("b");
  author.textContent = repostedByUserId ? `${post.authorId} (reposted by ${repostedByUserId})` : post.authorId;
  // Texts are never markup.
  line.append(author, post.text);
  return line;
}

function remove(matches) {
  for (const line of [...feed.children]) if (matches(line.dataset)) line.remove();
}

/** What an event changes. The protos have the rules. */
function apply({ posted, reposted, unreposted, deleted, authorRemoved }) {
  const added = posted?.item ?? reposted?.item ?? unreposted?.standIn;
  if (unreposted) remove(({ post, by }) => post === unreposted.postId && by === unreposted.userId);
  if (deleted) remove(({ post }) => post === deleted.postId);
  if (authorRemoved) remove(({ by }) => by === authorRemoved.authorId);
  if (added) feed.prepend(item(added));
  while (feed.children.length > ITEMS_MAX) feed.lastChild.remove();
}

function watch() {
  source?.close();
  feed.replaceChildren();
  const { server, user } = who.elements;
  // The newest 20 entries first. After a break the browser sends the id of the last event, and the stream goes on
  // there; the parameter counts no more.
  source = new EventSource(`${server.value}/v1/feeds/${encodeURIComponent(user.value)}/events?snapshot=20`);
  const on = (kind, handle) => source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
  on("opened", () => (state.value = "open"));
  on("caughtUp", () => (state.value = "live"));
  on("batch", ({ events }) => events.forEach(apply));
  on("reset", () => feed.replaceChildren());
  on("failure", ({ message }) => (state.value = `trying again: ${message}`));
  source.addEventListener("error", () => {
    state.value = source.readyState === EventSource.CLOSED ? "refused" : "connection lost";
  });
}

async function call(rpc, message) {
  const response = await fetch(`${who.elements.server.value}/whimbrel.v1.${rpc}`, {
    method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(message),
  });
  const answer = await response.json();
  result.value = response.ok ? "done" : answer.message;
}

who.addEventListener("submit", (event) => {
  event.preventDefault();
  watch();
});
publish.addEventListener("submit", (event) => {
  event.preventDefault();
  const { author, text } = publish.elements;
  call("FeedService/Publish", { userId: author.value, text: text.value }).then(() => (text.value = ""));
});
publish.elements.follow.addEventListener("click", () =>
  call("FeedService/Follow", { userId: who.elements.user.value, followeeId: publish.elements.author.value }));
watch();
