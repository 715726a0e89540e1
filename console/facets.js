// The text of a post with its mentions, links and hashtags. Never makes markup of it: what is no facet is a text node.

import { el } from "./dom.js";

/** The nodes of a post's text. Facets name bytes of it. */
export function richText({ text = "", facets = [] }) {
  const bytes = new TextEncoder().encode(text);
  const decoder = new TextDecoder();
  const nodes = [];
  let end = 0;
  for (const facet of facets) {
    const [from, to] = [facet.byteStart ?? 0, facet.byteEnd ?? 0];
    nodes.push(decoder.decode(bytes.subarray(end, from)));
    nodes.push(marked(facet, decoder.decode(bytes.subarray(from, to))));
    end = to;
  }
  nodes.push(decoder.decode(bytes.subarray(end)));
  return nodes;
}

function marked({ mention, link, tag }, text) {
  if (mention) return el("a", { class: "mention", href: `#/user/${encodeURIComponent(mention.userId)}` }, text);
  if (link && /^https?:/i.test(link.uri)) {
    return el("a", { href: link.uri, target: "_blank", rel: "noopener noreferrer nofollow", title: link.uri }, text);
  }
  return tag ? el("span", { class: "tag" }, text) : text;
}
