// Scores term by term, and what makes the difference between two documents.

import { bar, counted, h, number, percent } from "./dom.js";
import { label } from "./expansion.js";

const SHOWN = 12;

/** Returns a score of the engine "impacts" or "bm25" as a table of terms. */
export function explanation(match, engine) {
  const isBm25 = engine === "bm25";
  const most = Math.max(...match.terms.map((term) => term.product), 0);
  const hasIdf = match.terms.some((term) => term.unweighted !== term.query);
  const rows = match.terms.map((term) => h("tr", {},
    h("th", { scope: "row" }, h("bdi", {}, label(term.token))),
    hasIdf ? h("td", {}, number(term.unweighted)) : null,
    h("td", {}, number(term.query)),
    h("td", {}, number(term.document)),
    h("td", {}, number(term.product)),
    h("td", {}, percent(term.share)),
    h("td", { "aria-hidden": "true" }, bar(term.product / most))));
  const titles = ["Word", hasIdf ? "Query" : null, hasIdf ? "× idf" : "Query", "Document", "Product", "Share"];
  const head = titles.filter(Boolean).map((title) => h("th", { scope: "col" }, title));
  const sum = isBm25
    ? `BM25's score ${number(match.score)}: how often a word is in the query, times its score in the document. Words are as the text index has them, without endings.`
    : `The learned score ${number(match.score)} is the sum of ${counted(match.terms.length, "product")}: the weight of a word in the query, times that in the document.`;
  return h("div", {}, h("p", {}, sum),
    rows.length ? table(isBm25 ? "BM25, word by word" : "Score, word by word", [...head, h("td", { "aria-hidden": "true" })], rows, "many") : null,
    others("Only in the query", match.query_only),
    match.document_only && others("Only in the document", match.document_only),
    others("Left out by idf", match.left_out_by_idf));
}

/** Returns the terms that make the difference between two documents. */
export function comparison(compared, titles) {
  const most = Math.max(...compared.terms.map((term) => Math.abs(term.difference)), 1);
  const rows = compared.terms.filter((term) => term.difference).map((term) => h("tr", {},
    h("th", { scope: "row" }, h("bdi", {}, label(term.token))),
    h("td", {}, number(term.first)),
    h("td", {}, number(term.second)),
    h("td", {}, signed(term.difference)),
    h("td", { "aria-hidden": "true" }, bar(Math.abs(term.difference) / most, term.difference < 0 ? "less" : ""))));
  const head = ["Word", "A", "B", "Difference"].map((title) => h("th", { scope: "col" }, title));
  const [first, second] = titles.map((title, index) => {
    const { document, score } = index ? compared.second : compared.first;
    return h("p", {}, h("strong", {}, "AB"[index]), " ", h("bdi", {}, title || document), ` (score ${number(score)})`);
  });
  if (!rows.length) return [first, second, h("p", {}, "No word makes a difference: both have the same learned score.")];
  return [first, second,
    h("p", {}, `The difference is ${signed(compared.difference)}. It is made by these words; hatched bars are in favour of B.`),
    table("Difference, word by word", [...head, h("td", { "aria-hidden": "true" })], rows, "few")];
}

function table(caption, head, rows, kind) {
  const scrolled = h("div", { class: "table", tabindex: "0", role: "region", "aria-label": caption },
    h("table", { class: kind }, h("caption", { class: "unseen" }, caption), h("thead", {}, h("tr", {}, head)), h("tbody", {}, rows)));
  if (rows.length <= SHOWN) return h("div", {}, scrolled);
  for (const row of rows.slice(SHOWN)) row.hidden = true;
  const more = h("button", {
    type: "button", class: "quiet",
    click: () => {
      for (const row of rows) row.hidden = false;
      more.remove();
      scrolled.focus();
    },
  }, `Show ${counted(rows.length - SHOWN, "more word", "more words")}`);
  return h("div", {}, scrolled, more);
}

function others(title, impacts) {
  const tokens = Object.entries(impacts);
  if (!tokens.length) return null;
  const shown = tokens.slice(0, SHOWN).map(([token, impact]) => `${label(token)} ${number(impact)}`).join(", ");
  const more = tokens.length > SHOWN ? `, and ${counted(tokens.length - SHOWN, "other")}` : "";
  return h("p", { class: "others" }, h("strong", {}, `${title}: `), shown, more);
}

const signed = (value) => (value > 0 ? `+${number(value)}` : number(value).replace("-", "−"));
