// The page: what is asked, what is shown, and the address that restores it.

import { ask, hasKey, ServiceError, setKey } from "./api.js";
import { Comparing } from "./comparing.js";
import { $, counted, h, number } from "./dom.js";
import { Expansion } from "./expansion.js";
import { explanation } from "./explaining.js";
import { Fields } from "./fields.js";
import { Filters } from "./filters.js";
import { hitList } from "./hits.js";
import { copyLink, forgetLink } from "./link.js";
import { lists, queryOf } from "./searching.js";
import { emptyState, HITS, readState, VIEWS, writeState } from "./state.js";

const PAUSE = 120;
const SAMPLES = 6;
const NAMES = { impacts: "Learned", bm25: "BM25", both: "Side by side", hybrid: "Hybrid" };
const TITLES = { impacts: "Learned weights", bm25: "BM25", hybrid: "Learned weights and BM25 together" };
const STAGES = { queue: "waiting", encode: "encoding", search: "searching", documents: "documents" };

let state = emptyState();
let served = null;
let sample = 0;
let pending = null;
let timer = 0;
let answers = null;

const expansion = new Expansion((weights, added) => {
  state.weights = weights;
  clearTimeout(timer);
  timer = setTimeout(() => search({ takeBack: added && ((problem) => dropToken(added, problem)) }), PAUSE);
});
const filters = new Filters((conditions, added) => {
  state.filters = conditions;
  state.hits = HITS;
  save(true);
  search({ takeBack: added && ((problem) => dropFilter(added, problem)) });
});
const fields = new Fields((chosen) => change({ fields: chosen }));
const comparing = new Comparing({
  changed: (ids) => {
    state.compared = ids;
    save();
  },
  query: () => queryOf(state, index()),
  titleOf: (id) => hits().find((hit) => hit.id === id)?.title?.text,
});

/** Asks what is served, then shows what the address says. */
async function start() {
  try {
    served = (await ask("v1/page")).values;
  } catch (error) {
    showProblem(error, start);
    return;
  }
  showProblem(null);
  $("key-form").hidden = true;
  $("search").hidden = false;
  $("key-button").hidden = !hasKey();
  $("query").maxLength = served.max_query;
  $("index").replaceChildren(...served.indexes.map(({ name }) => h("option", { value: name }, name)));
  $("index-choice").hidden = served.indexes.length < 2;
  restore();
}

function restore() {
  state = readState(location.hash);
  if (!served.indexes.some(({ name }) => name === state.index)) state.index = "";
  state.hits = Math.min(state.hits, served.max_hits);
  $("query").value = state.query;
  showProblem(null);
  showIndex();
  showSamples();
  comparing.close();
  begin({ restored: true });
}

/** Searches for the query of the state, or without one shows what the page begins with. */
function begin(options = {}) {
  comparing.show(state.compared);
  if (state.query && views().length) search({ isNew: true, ...options });
  else showStart();
}

/** Puts the state into the address, in place of what is there or as another entry of the browser's history. */
const save = (isNew = false) => history[isNew ? "pushState" : "replaceState"](null, "", writeState(state));

const hits = () => answers?.lists.flatMap(({ values }) => values.hits) ?? [];

const index = () => served.indexes.find(({ name }) => name === state.index) ?? served.indexes[0];

/** Returns the views that the index has: without an encoder there is only BM25, or nothing. */
function views() {
  const hasText = index().engines.includes("bm25");
  if (!index().texts) return hasText ? ["bm25"] : [];
  return hasText ? VIEWS : ["impacts"];
}

function view() {
  const possible = views();
  // Text indexes have no fields for filters.
  if (state.filters.length && possible.includes("impacts")) return "impacts";
  if (possible.length < 2) return possible[0];
  return state.view || (matchMedia("(min-width: 700px)").matches ? "both" : "impacts");
}

function showIndex() {
  const { name, documents: count, filters: types } = index();
  $("index").value = name;
  $("collection").textContent = name;
  $("query").placeholder = `Search ${counted(count, "document")}`;
  $("query").disabled = $("search-button").disabled = !views().length;
  $("unsearchable").hidden = views().length > 0;
  $("about").textContent = about();
  fields.clear();
  filters.show(types, state.filters);
  const possible = views().length > 1 ? views() : [];
  $("views").hidden = !possible.length;
  $("views").replaceChildren(h("legend", { class: "unseen" }, "Ranked by"), ...possible.map((value) => h("label", {},
    h("input", { type: "radio", name: "view", value, change: () => change({ view: value }) }), h("span", {}, NAMES[value]))));
}

/** Returns what an index is, in a sentence. */
function about() {
  const { documents: count, texts, encoder, engines } = index();
  const ranked = [texts ? `learned weights${encoder ? ` (${encoder})` : ""}` : "", engines.includes("bm25") ? "BM25" : ""];
  return `${counted(count, "document")}, ranked by ${ranked.filter(Boolean).join(" and by ")}.`;
}

/** Shows which view there is, and which cannot be chosen. */
function showView() {
  const isFiltered = state.filters.length > 0;
  for (const radio of $("views").querySelectorAll("input")) {
    radio.checked = radio.value === view();
    radio.disabled = isFiltered && radio.value !== "impacts";
  }
  $("unfiltered").hidden = $("views").hidden || !isFiltered;
}

function showStart() {
  pending?.abort();
  $("start").hidden = !views().length;
  $("work").hidden = true;
  document.title = `Search ${index().name}`;
}

function showSamples() {
  const { samples } = served;
  const shown = Array.from({ length: Math.min(SAMPLES, samples.length) }, (_, at) => samples[(sample + at) % samples.length]);
  $("samples").replaceChildren(...shown.map((text) => h("li", {},
    h("button", { type: "button", dir: "auto", click: () => submit(text) }, text))));
  $("to-try").hidden = !samples.length;
  $("other-samples").hidden = samples.length <= SAMPLES;
  $("next-sample").hidden = !samples.length;
}

/** Changes what is shown of the same query. */
function change(values) {
  Object.assign(state, values);
  search();
}

/** Searches for another query, which becomes an entry of the browser's history. */
function submit(text) {
  $("query").value = text;
  const { index: name, view: shown, filters: conditions, fields: chosen } = state;
  state = { ...emptyState(), query: text.trim(), index: name, view: shown, filters: conditions, fields: chosen };
  save(true);
  begin();
}

/**
 * Asks for hits, and for the expansion of a new query; answers that come too late are dropped. `takeBack` undoes the
 * change that led to the search, when the service refuses it.
 */
async function search({ isNew = false, restored = false, takeBack = null } = {}) {
  clearTimeout(timer);
  pending?.abort();
  const current = (pending = new AbortController());
  save();
  document.title = `${state.query} – ${index().name}`;
  $("start").hidden = true;
  forgetLink();
  $("lists").setAttribute("aria-busy", "true");
  showView();
  try {
    if (isNew && index().texts) {
      const encoded = await ask("v1/encode", { text: state.query, index: index().name }, current.signal);
      if (current !== pending) return;
      expansion.show(encoded.values.entries, state.weights);
    }
    $("work").hidden = false;
    const engines = view() === "both" ? ["impacts", "bm25"] : [view()];
    const canRank = views().length > 1 && view() !== "hybrid" && !state.filters.length;
    const found = await lists(state, index(), engines, canRank, served.max_hits, current.signal);
    if (current !== pending) return;
    showProblem(null);
    answers = found;
    showHits();
    if (restored && state.compared.length === 2) comparing.open();
  } catch (error) {
    if (error.name === "AbortError" || current !== pending) return;
    $("lists").removeAttribute("aria-busy");
    if (takeBack && error.status === 400) takeBack(error.message);
    else showProblem(error, () => search({ isNew, restored, takeBack }));
  }
}

function dropToken(token, problem) {
  expansion.drop(token, problem);
  state.weights = new Map(expansion.edits);
  search();
}

function dropFilter(condition, problem) {
  filters.drop(condition, problem);
  state.filters = [...filters.conditions];
  search();
}

function showHits() {
  const { lists: shown, ranks, depth, missing } = answers;
  const other = { impacts: "bm25", bm25: "impacts" };
  const documents = hits().map((hit) => hit.document);
  fields.show(documents, state.fields);
  const context = { fields: fields.shown, toExplain: new Set(state.explained), compared: state.compared, explain, compare: (id) => comparing.toggle(id), wholeText };
  $("lists").replaceChildren(...shown.map(({ engine, values }) => hitList({
    engine,
    title: engine === "impacts" && index().encoder ? `${TITLES.impacts} (${index().encoder})` : TITLES[engine],
    hits: values.hits,
    others: ranks.has(other[engine]) ? { title: NAMES[other[engine]], ranks: ranks.get(other[engine]), depth } : null,
    none: nothing(engine, values),
  }, context)));
  $("lists").removeAttribute("aria-busy");
  $("lists").className = shown.length > 1 ? "two" : "";
  $("expansion").hidden = view() === "bm25";
  $("more").hidden = state.hits >= served.max_hits || !shown.some(({ values }) => values.hits.length === state.hits);
  $("unstored").hidden = !documents.length || shown.some(({ values }) => values.hits.some((hit) => hit.document || hit.title || hit.snippet));
  $("status").textContent = statusOf(shown.map(({ values }) => values.hits.length));
  showMissing(missing);
  $("timing").textContent = shown.map(timing).join(" ");
  filters.offer(documents);
}

/** Says which shards did not answer, if any. */
function showMissing(shards) {
  $("incomplete").hidden = !shards.length;
  $("incomplete").textContent = shards.length
    ? `Incomplete: no answer from ${shards.length > 1 ? "the shards" : "the shard"} ${shards.join(", ")}, whose documents are not among the hits.`
    : "";
}

function statusOf([count, second = null]) {
  const lengths = second === null ? "" : count === second ? " in each list" : `, ${number(second)} with BM25,`;
  const changes = [
    state.weights.size ? counted(state.weights.size, "changed weight") : "",
    state.filters.length ? counted(state.filters.length, "filter") : "",
  ].filter(Boolean).join(" and ");
  return `${counted(count, "hit")}${lengths} for “${state.query}”${changes && `, with ${changes}`}.`;
}

/** Returns what is said in place of hits. */
function nothing(engine, { weights }) {
  if (engine !== "bm25" && !Object.keys(weights).length) {
    return state.weights.size ? "All words are switched off." : "The query has no words that the index could have.";
  }
  return `No document ${state.filters.length ? "that fulfils the filters " : ""}has any of these words.`;
}

function timing({ engine, stages, milliseconds }) {
  const named = stages.filter(([name]) => STAGES[name] && !(name === "encode" && engine === "bm25"));
  const parts = named.length ? named.map(([name, value]) => `${STAGES[name]} ${value.toFixed(1)}`).join(", ") : "answered before";
  return `${NAMES[engine]}: ${milliseconds.toFixed(0)} ms (${parts}).`;
}

/** Returns the engines whose scores a hit of a list may have. */
const enginesOf = (engine) => {
  if (!index().texts) return ["bm25"];
  return { impacts: ["impacts"], bm25: ["bm25", "impacts"], hybrid: ["impacts", "bm25"] }[engine];
};

/** Opens or closes the explanation of a hit, by the scores that it has. */
async function explain(id, engine, place, button, stay = false) {
  const isOpen = !stay && button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) state.explained.delete(id);
  else state.explained.add(id);
  save();
  place.replaceChildren();
  if (isOpen) return;
  const parts = await Promise.all(enginesOf(engine).map(async (name) => {
    try {
      return explanation((await ask("v1/explain", { ...queryFor(name), id, engine: name })).values, name);
    } catch (error) {
      const isMissing = error.status === 404 && engine !== name;
      return h("p", isMissing ? {} : { class: "problem", role: "alert" }, isMissing ? `${NAMES[name]}: the index has no such document.` : error.message);
    }
  }));
  if (button.getAttribute("aria-expanded") === "true") place.replaceChildren(...parts);
}

function queryFor(engine) {
  const values = queryOf(state, index());
  if (engine === "bm25") delete values.weights;
  return values;
}

/** Returns the text of a hit as it is stored, or null with an error in `place`. */
async function wholeText(id, engine, place) {
  for (const name of enginesOf(engine)) {
    try {
      return (await ask("v1/explain", { ...queryFor(name), id, engine: name, highlights: true })).values.text;
    } catch (error) {
      if (error.status === 404) continue;
      place.append(h("p", { class: "problem", role: "alert" }, error.message));
      break;
    }
  }
  return null;
}

/** Shows an error, or with null none; one for want of a key with the field for it. */
function showProblem(error, again = null) {
  $("problem").replaceChildren();
  if (!error) return;
  if (!(error instanceof ServiceError)) throw error;
  if (error.status === 401) {
    $("key-form").hidden = false;
    $("search").hidden = !served;
    $("key").focus();
    if (!hasKey()) return;
  }
  const message = error.status === 401 ? "The service does not know this key." : error.message;
  const retry = again && error.status !== 401 && error.status !== 400;
  $("problem").append(h("p", { class: "problem" }, `${message} `, retry ? h("button", { type: "button", click: () => again() }, "Try again") : null));
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (served) submit($("query").value);
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value);
  $("key").value = "";
  start();
});
$("key-button").addEventListener("click", () => {
  $("key-form").hidden = !$("key-form").hidden;
  if (!$("key-form").hidden) $("key").focus();
});
$("index").addEventListener("change", () => {
  state = { ...emptyState(), query: $("query").value.trim(), view: state.view, index: $("index").value };
  save(true);
  showIndex();
  begin();
});
$("other-samples").addEventListener("click", () => {
  sample += SAMPLES;
  showSamples();
});
$("next-sample").addEventListener("click", () => submit(served.samples[sample++ % served.samples.length]));
$("copy").addEventListener("click", copyLink);
$("fields-choice").addEventListener("toggle", async () => {
  const [first] = hits();
  if (!$("fields-choice").open || !state.fields || !first) return;
  try {
    // Hits have only the fields that are chosen.
    const path = `v1/documents/${encodeURIComponent(first.id)}?index=${encodeURIComponent(index().name)}`;
    fields.show([(await ask(path)).values.document], state.fields);
  } catch (error) {
    showProblem(error);
  }
});
$("more").addEventListener("click", async () => {
  const before = state.hits;
  state.hits = Math.min(state.hits + HITS, served.max_hits);
  await search();
  document.querySelector(`.list li:nth-child(${before + 1}) h4`)?.focus();
});
document.addEventListener("keydown", (event) => {
  const isTyping = event.target.matches("input:not([type=range], [type=checkbox], [type=radio]), textarea, select");
  if (event.key === "/" && !isTyping && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    $("query").focus();
  }
});
document.querySelector(".skip").addEventListener("click", (event) => {
  // The fragment of the address is the link that restores the page.
  event.preventDefault();
  $("results").focus();
});
addEventListener("popstate", () => served && restore());
start();
