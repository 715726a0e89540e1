// Builds elements. Every text becomes a text node: there is no way here from a string to markup.

const SVG = "http://www.w3.org/2000/svg";
// These are set as properties, since their attribute is only where they begin.
const PROPERTIES = new Set(["value", "checked", "disabled"]);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    // An attribute of ARIA says `false`; any other one is then not there.
    const isFlag = typeof value === "boolean" && !name.startsWith("aria-");
    if (value === undefined || value === null || (isFlag && !value)) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, isFlag ? "" : String(value));
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An element of HTML. */
export const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const svg = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Replaces all that `node` has. */
export function show(node, ...children) {
  node.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
}

/** A button. */
export const button = (text, onclick, attributes) => el("button", { type: "button", onclick, ...attributes }, text);

/** A line of a shell, with a button that copies it. */
export function shellLine(label, text) {
  const code = el("code", { class: "line" }, text);
  const copy = button("copy", async () => {
    // A browser lets pages write to the clipboard only over TLS or from this machine. Else the line is selected.
    if (navigator.clipboard) await navigator.clipboard.writeText(text);
    else getSelection().selectAllChildren(code);
    copy.textContent = navigator.clipboard ? "copied" : "selected";
    setTimeout(() => (copy.textContent = "copy"), 1200);
  }, { class: "copy", "aria-label": `Copy the line of ${label}` });
  return el("div", { class: "shell" }, el("span", { class: "shell-label" }, label), code, copy);
}

/** How long ago a time in RFC 3339 is, in words. */
export function ago(time) {
  const seconds = Math.max(0, (Date.now() - Date.parse(time)) / 1000);
  for (const [unit, length] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= length) return `${Math.floor(seconds / length)} ${unit}`;
  }
  return `${Math.floor(seconds)} s`;
}

/** A time of the element `time`, whose words are renewed while it is shown. */
export function timeOf(time) {
  return el("time", { datetime: time, title: new Date(time).toLocaleString() }, ago(time));
}

setInterval(() => {
  for (const node of document.querySelectorAll("time[datetime]")) node.textContent = ago(node.dateTime);
}, 5000);
