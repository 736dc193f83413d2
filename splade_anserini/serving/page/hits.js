// The lists of hits.

import { counted, h, number, percent } from "./dom.js";
import { label } from "./expansion.js";
import { markedText, markedTitle, matcher } from "./marking.js";

const SHOWN_TERMS = 5;
const TEXTS = ["text", "contents", "body", "passage", "abstract", "description", "content"];
const TITLES = ["title", "name", "headline"];
const LINK = /^https?:\/\/\S+$/i;

/**
 * Returns a list of hits. `list` has {engine, title, hits, others}: the ranks in the other list by id, or null;
 * `context` has documents by id, the query, the ids to explain at their first hits and those that are compared, and
 * functions for the buttons.
 */
export function hitList(list, context) {
  const heading = `list-${list.engine}`;
  const greatest = Math.max(...list.hits.map((hit) => hit.score), 0);
  const items = list.hits.map((hit) => hitItem(hit, list, greatest, context));
  return h("section", { class: "list", "aria-labelledby": heading },
    h("h3", { id: heading }, list.title),
    items.length ? h("ol", {}, items) : h("p", {}, "No document has any of these words."));
}

function hitItem(hit, list, greatest, context) {
  const document = context.documents.get(hit.id) ?? hit.document;
  const title = first(document, TITLES);
  const text = withoutTitle(first(document, TEXTS), title);
  const marks = contributions(hit, context.query);
  const contributionOf = matcher(marks);
  const most = Math.max(...marks.values(), 0);
  const name = `hit-${list.engine}-${hit.rank}`;
  const details = h("div", { class: "details", id: `${name}-details` });
  const body = h("div", {}, text ? markedText(text, contributionOf, most) : null);
  const heading = h("h4", { id: name, tabindex: "-1" }, h("span", { class: "rank" }, `${hit.rank}. `),
    title ? markedTitle(title, contributionOf, most) : hit.id);
  const item = h("li", { class: "hit", "data-id": hit.id },
    h("article", { "aria-labelledby": name },
      heading,
      h("p", { class: "facts" }, title ? h("span", { class: "id" }, hit.id) : null, score(hit, greatest), otherRank(hit, list)),
      body, terms(hit), fields(document), actions(), details));
  return item;

  function actions() {
    const explain = h("button", {
      type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": details.id, "aria-describedby": name,
      click: () => context.explain(hit.id, details, explain),
    }, "Explain");
    if (context.toExplain.delete(hit.id)) context.explain(hit.id, details, explain, true);
    const compare = h("button", {
      type: "button", class: "quiet compare", "aria-pressed": context.compared.includes(hit.id), "aria-describedby": name,
      click: () => context.compare(hit.id),
    }, "Compare");
    const isCut = text && body.textContent.trim() !== text.trim();
    const whole = isCut && h("button", {
      type: "button", class: "quiet", "aria-expanded": "false", "aria-describedby": name,
      click: () => {
        const isWhole = whole.getAttribute("aria-expanded") !== "true";
        whole.setAttribute("aria-expanded", isWhole);
        whole.textContent = isWhole ? "Less text" : "Whole text";
        body.replaceChildren(markedText(text, contributionOf, most, isWhole));
      },
    }, "Whole text");
    return h("p", { class: "actions" }, explain, compare, whole || null);
  }
}

function score(hit, greatest) {
  const filled = h("span", {});
  filled.style.width = `${greatest ? (100 * hit.score) / greatest : 0}%`;
  return [
    h("span", { class: "score" }, "score ", h("strong", {}, number(hit.score))),
    h("span", { class: "bar small", "aria-hidden": "true" }, filled),
  ];
}

function otherRank(hit, list) {
  if (!list.others) return null;
  const rank = list.others.ranks.get(hit.id);
  const where = rank ? `rank ${number(rank)}` : `not in the first ${number(list.others.depth)}`;
  return h("span", { class: `other${rank ? "" : " none"}` }, `${list.others.title}: ${where}`);
}

/** Returns contributions by token: products of the score, or for BM25 the words of the query. */
function contributions(hit, query) {
  if (hit.terms) return new Map(hit.terms.map((term) => [term.token, term.product]));
  return new Map((query.match(/[\p{L}\p{M}\p{N}]{3,}/gu) ?? []).map((word) => [word, 1]));
}

function terms(hit) {
  if (!hit.terms?.length) return null;
  const sum = hit.terms.reduce((total, term) => total + term.product, 0);
  const shown = hit.terms.slice(0, SHOWN_TERMS);
  const more = hit.terms.length - shown.length;
  return h("ul", { class: "terms", "aria-label": "Words that the score comes from" },
    shown.map((term) => h("li", {}, label(term.token), " ", h("span", {}, percent(term.product / sum)))),
    more ? h("li", { class: "rest" }, `and ${counted(more, "other")}`) : null);
}

/** Returns what else is stored of a document. */
function fields(document) {
  if (!document) return null;
  const text = TEXTS.find((key) => typeof document[key] === "string");
  const title = TITLES.find((key) => typeof document[key] === "string");
  const others = Object.entries(document).filter(([key, value]) =>
    ![text, title, "id", "_id"].includes(key) && value !== null && value !== "" && typeof value !== "object");
  if (!others.length) return null;
  return h("dl", { class: "fields" }, others.slice(0, 8).map(([key, value]) => [h("dt", {}, key), h("dd", {}, fieldValue(value))]));
}

function fieldValue(value) {
  const text = String(value);
  if (LINK.test(text)) return h("a", { href: text, rel: "noopener noreferrer nofollow" }, text);
  return text.length > 120 ? `${text.slice(0, 120)}…` : text;
}

function first(document, keys) {
  const key = keys.find((name) => typeof document?.[name] === "string");
  return key ? document[key].trim() : "";
}

/** Returns a text without its title before it, which corpora often repeat. */
function withoutTitle(text, title) {
  let rest = text;
  while (title && rest.startsWith(title)) rest = rest.slice(title.length).trimStart();
  return rest || text;
}
