// The lists of hits.

import { counted, h, number, percent } from "./dom.js";
import { label } from "./expansion.js";
import { otherFields } from "./fields.js";
import { greatest, marked } from "./marking.js";

const SHOWN_TERMS = 5;
const LONG_VALUE = 120;
const LONG_TITLE = 240;
const LINK = /^https?:\/\/\S+$/i;

/**
 * Returns a list of hits. `list` has {engine, title, hits, others, none}: `others` the ranks in the other list by id, or
 * null, `none` what is said without hits; `context` has the ids to explain at their first hits, those that are compared,
 * the names of fields to show, and functions for the buttons.
 */
export function hitList(list, context) {
  const heading = `list-${list.engine}`;
  const best = Math.max(...list.hits.map((hit) => hit.score), 0);
  const items = list.hits.map((hit) => hitItem(hit, list, best, context));
  return h("section", { class: "list", "aria-labelledby": heading },
    h("h3", { id: heading }, list.title),
    items.length ? h("ol", {}, items) : h("p", { class: "none" }, list.none));
}

function hitItem(hit, list, best, context) {
  const name = `hit-${list.engine}-${hit.rank}`;
  const most = greatest(hit.title, hit.snippet);
  const details = h("div", { class: "details", id: `${name}-details` });
  const body = h("div", {}, passage(hit.snippet, most));
  const heading = h("h4", { id: name, tabindex: "-1", dir: "auto" }, h("span", { class: "rank" }, `${hit.rank}. `),
    hit.title ? marked(hit.title, most) : hit.id);
  return h("li", { class: "hit", "data-id": hit.id },
    h("article", { "aria-labelledby": name },
      heading,
      h("p", { class: "facts" }, hit.title ? h("bdi", { class: "id" }, hit.id) : null, score(hit, best), otherRank(hit, list)),
      body, terms(hit), fields(hit.document, context.fields), actions(), details));

  function actions() {
    const explain = h("button", {
      type: "button", class: "quiet", "aria-expanded": "false", "aria-controls": details.id, "aria-describedby": name,
      click: () => context.explain(hit.id, list.engine, details, explain),
    }, "Explain");
    if (context.toExplain.delete(hit.id)) context.explain(hit.id, list.engine, details, explain, true);
    const compare = h("button", {
      type: "button", class: "quiet compare", "aria-pressed": String(context.compared.includes(hit.id)), "aria-describedby": name,
      click: () => context.compare(hit.id),
    }, "Compare");
    return h("p", { class: "actions" }, explain, compare, whole());
  }

  /** Returns the button for the text as it is stored, if it is more than the passage. */
  function whole() {
    const isLong = (hit.title?.text.length ?? 0) > LONG_TITLE;
    if (!isLong && !hit.snippet?.cut_before && !hit.snippet?.cut_after) return null;
    const button = h("button", {
      type: "button", class: "quiet", "aria-expanded": "false", "aria-describedby": name,
      click: async () => {
        const isWhole = button.getAttribute("aria-expanded") !== "true";
        const text = isWhole && hit.snippet ? await context.wholeText(hit.id, list.engine, body) : hit.snippet;
        if (text === null) return;
        button.setAttribute("aria-expanded", String(isWhole));
        button.textContent = isWhole ? "Less text" : "Whole text";
        heading.classList.toggle("whole", isWhole);
        body.replaceChildren(...[passage(text, most)].filter(Boolean));
      },
    }, "Whole text");
    return button;
  }
}

const passage = (text, most) => (text ? h("p", { class: "text", dir: "auto" }, marked(text, most)) : null);

function score(hit, best) {
  const filled = h("span", {});
  filled.style.width = `${best ? (100 * hit.score) / best : 0}%`;
  return [
    h("span", { class: "score" }, "score ", h("strong", {}, number(hit.score))),
    h("span", { class: "bar small", "aria-hidden": "true" }, filled),
  ];
}

function otherRank(hit, list) {
  if (!list.others) return null;
  const { ranks, depth } = list.others;
  const rank = ranks.get(hit.id);
  const where = rank ? `rank ${number(rank)}` : ranks.size < depth ? "not found" : `not in the first ${number(depth)}`;
  return h("span", { class: `other${rank ? "" : " none"}` }, `${list.others.title}: ${where}`);
}

/** Returns the terms that bring most of a score; of hybrid search, of its learned part. */
function terms(hit) {
  if (!hit.terms?.length) return null;
  const sum = hit.terms.reduce((total, term) => total + term.product, 0);
  const shown = hit.terms.slice(0, SHOWN_TERMS);
  const more = hit.terms.length - shown.length;
  return h("ul", { class: "terms", "aria-label": "Words that the score comes from" },
    shown.map((term) => h("li", {}, h("bdi", {}, label(term.token)), " ", h("span", {}, percent(term.product / sum)))),
    more ? h("li", { class: "rest" }, `and ${counted(more, "other")}`) : null);
}

/** Returns the fields of a document that are shown. */
function fields(document, shown) {
  const names = otherFields(document).filter((name) => shown.includes(name));
  const values = names.map((name) => [name, fieldValue(document[name])]).filter(([, value]) => value !== null);
  if (!values.length) return null;
  return h("dl", { class: "fields" }, values.map(([name, value]) =>
    h("div", {}, h("dt", {}, name), h("dd", { dir: "auto" }, value))));
}

/** Returns a value of a field as text or as a link, or null for one that says nothing. */
function fieldValue(value) {
  if (value === null || value === "" || (Array.isArray(value) && !value.length)) return null;
  const isPlain = Array.isArray(value) && value.every((part) => typeof part !== "object");
  const text = isPlain ? value.join(", ") : typeof value === "object" ? JSON.stringify(value) : String(value);
  if (LINK.test(text)) return h("a", { href: text, rel: "noopener noreferrer nofollow" }, text);
  return text.length > LONG_VALUE ? `${text.slice(0, LONG_VALUE)}…` : text;
}
