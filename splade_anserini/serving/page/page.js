// The page: what is asked, what is shown, and the address that restores it.

import { ask, hasKey, ServiceError, setKey } from "./api.js";
import { $, counted, h, number } from "./dom.js";
import { Expansion } from "./expansion.js";
import { comparison, explanation } from "./explaining.js";
import { hitList } from "./hits.js";
import { emptyState, HITS, readState, writeState } from "./state.js";

const DEPTH = 100;
const PAUSE = 120;
const SAMPLES = 6;
const NAMES = { impacts: "Learned", bm25: "BM25", both: "Side by side", hybrid: "Hybrid" };
const STAGES = { queue: "waiting", encode: "encoding", search: "searching", documents: "documents" };

let state = emptyState();
let served = null;
let sample = 0;
let pending = null;
let timer = 0;
let answers = null;
const documents = new Map();
const expansion = new Expansion((weights, added) => {
  state.weights = weights;
  clearTimeout(timer);
  timer = setTimeout(() => search({ added }), PAUSE);
});

/** Asks what is served, then shows what the address says. */
async function start() {
  try {
    served = (await ask("v1/page")).values;
  } catch (error) {
    show(error);
    return;
  }
  $("key-form").hidden = true;
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
  showIndex();
  showSamples();
  showCompared();
  if ($("comparison").open) $("comparison").close();
  if (state.query) search({ isNew: true, restored: true });
  else showStart();
}

const index = () => served.indexes.find(({ name }) => name === state.index) ?? served.indexes[0];

function view() {
  const has = index().engines.includes("bm25");
  if (!has) return "impacts";
  return state.view || (matchMedia("(min-width: 700px)").matches ? "both" : "impacts");
}

function showIndex() {
  const { name, documents: count } = index();
  $("index").value = name;
  $("collection").textContent = name;
  $("query").placeholder = `Search ${counted(count, "document")}`;
  const views = index().engines.includes("bm25") ? Object.keys(NAMES) : [];
  $("views").hidden = !views.length;
  $("views").replaceChildren(h("legend", { class: "unseen" }, "Ranked by"), ...views.map((value) => h("label", {},
    h("input", { type: "radio", name: "view", value, checked: value === view(), change: () => change({ view: value }) }),
    h("span", {}, NAMES[value]))));
}

function showStart() {
  pending?.abort();
  $("start").hidden = !served.samples.length;
  $("work").hidden = true;
  document.title = `Search ${index().name}`;
}

function showSamples() {
  const { samples } = served;
  const shown = Array.from({ length: Math.min(SAMPLES, samples.length) }, (_, at) => samples[(sample + at) % samples.length]);
  $("samples").replaceChildren(...shown.map((text) => h("li", {},
    h("button", { type: "button", click: () => submit(text) }, text))));
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
  state = { ...emptyState(), query: text.trim(), index: state.index, view: state.view };
  history.pushState(null, "", writeState(state) || location.pathname);
  showCompared();
  if (state.query) search({ isNew: true });
  else showStart();
}

/** Asks for hits, and for the expansion of a new query; answers that come too late are dropped. */
async function search({ isNew = false, restored = false, added = null } = {}) {
  clearTimeout(timer);
  pending?.abort();
  const current = (pending = new AbortController());
  history.replaceState(null, "", writeState(state) || location.pathname);
  document.title = `${state.query} – ${index().name}`;
  $("start").hidden = true;
  $("lists").setAttribute("aria-busy", "true");
  try {
    if (isNew) {
      answers = null;
      const encoded = await ask("v1/encode", { text: state.query, index: state.index || null }, current.signal);
      if (current !== pending) return;
      expansion.show(encoded.values.entries, state.weights);
      $("work").hidden = false;
    }
    const found = await asked(current.signal);
    if (current !== pending) return;
    show(null);
    answers = found;
    showHits();
    if (restored && state.compared.length === 2) compareBoth();
  } catch (error) {
    if (error.name === "AbortError" || current !== pending) return;
    $("lists").removeAttribute("aria-busy");
    if (added && error.status === 400) {
      expansion.drop(added, error.message);
      state.weights = new Map(expansion.edits);
      search();
    } else show(error, () => search({ isNew, restored, added }));
  }
}

/** Returns the query of the page, as requests have it. */
function query() {
  const values = { query: state.query, index: index().name };
  if (state.weights.size) values.weights = Object.fromEntries(state.weights);
  return values;
}

/** Returns the answers for the lists that are shown, and for the ranks in the other list. */
async function asked(signal) {
  const engines = view() === "both" ? ["impacts", "bm25"] : [view()];
  const depth = Math.min(Math.max(DEPTH, state.hits), served.max_hits);
  const hasRanks = view() !== "hybrid" && index().engines.includes("bm25");
  const body = (engine) => ({ ...query(), ...(engine === "bm25" && { weights: undefined }), engine });
  const lists = engines.map((engine) => ask("v1/search", { ...body(engine), k: state.hits, terms: engine !== "bm25" }, signal));
  const others = (hasRanks ? ["impacts", "bm25"] : []).filter((engine) => view() === "both" || !engines.includes(engine));
  const ranks = others.map((engine) => ask("v1/search", { ...body(engine), k: depth, documents: false }, signal));
  const found = await Promise.all([...lists, ...ranks]);
  const result = {
    lists: engines.map((engine, at) => ({ engine, ...found[at] })),
    ranks: new Map(others.map((engine, at) => [engine, rankOf(found[engines.length + at].values.hits)])),
    depth,
  };
  await addDocuments(result.lists, signal);
  return result;
}

const rankOf = (hits) => new Map(hits.map(({ id, rank }) => [id, rank]));

/** Asks for the documents of hits that came without: text indexes often store none. */
async function addDocuments(lists, signal) {
  documents.clear();
  for (const { values } of lists) for (const hit of values.hits) if (hit.document) documents.set(hit.id, hit.document);
  if (!documents.size) return;
  const missing = [...new Set(lists.flatMap(({ values }) => values.hits.map(({ id }) => id)))].filter((id) => !documents.has(id));
  await Promise.all(missing.slice(0, 50).map(async (id) => {
    try {
      const path = `v1/documents/${encodeURIComponent(id)}?index=${encodeURIComponent(index().name)}`;
      documents.set(id, (await ask(path, null, signal)).values.document);
    } catch (error) {
      if (error.name === "AbortError") throw error;
    }
  }));
}

function showHits() {
  const { lists, ranks, depth } = answers;
  const other = { impacts: "bm25", bm25: "impacts" };
  const context = { documents, query: state.query, toExplain: new Set(state.explained), compared: state.compared, explain, compare };
  $("lists").replaceChildren(...lists.map(({ engine, values }) => hitList({
    engine,
    title: engine === "impacts" ? `Learned weights${encoder()}` : engine === "bm25" ? "BM25" : "Learned weights and BM25 together",
    hits: values.hits,
    others: ranks.has(other[engine]) ? { title: NAMES[other[engine]], ranks: ranks.get(other[engine]), depth } : null,
  }, context)));
  $("lists").removeAttribute("aria-busy");
  $("lists").className = lists.length > 1 ? "two" : "";
  $("expansion").hidden = view() === "bm25";
  $("more").hidden = state.hits >= served.max_hits || !lists.some(({ values }) => values.hits.length === state.hits);
  $("work").hidden = false;
  const [count, second = count] = lists.map(({ values }) => values.hits.length);
  const both = count === second ? " in each list" : `, ${number(second)} with BM25,`;
  const edits = state.weights.size ? `, with ${counted(state.weights.size, "changed weight")}` : "";
  $("status").textContent = `${counted(count, "hit")}${lists.length > 1 ? both : ""} for “${state.query}”${edits}.`;
  $("timing").textContent = lists.map(timing).join(" ");
}

const encoder = () => (index().encoder ? ` (${index().encoder})` : "");

function timing({ engine, stages, milliseconds }) {
  const named = stages.filter(([name]) => STAGES[name] && !(name === "encode" && engine === "bm25"));
  const parts = named.length ? named.map(([name, value]) => `${STAGES[name]} ${value.toFixed(1)}`).join(", ") : "answered before";
  return `${NAMES[engine]}: ${milliseconds.toFixed(0)} ms (${parts}).`;
}

/** Opens or closes the explanation of a hit. */
async function explain(id, place, button, stay = false) {
  const isOpen = !stay && button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", !isOpen);
  if (isOpen) state.explained.delete(id);
  else state.explained.add(id);
  history.replaceState(null, "", writeState(state) || location.pathname);
  place.replaceChildren();
  if (isOpen) return;
  try {
    place.replaceChildren(...explanation((await ask("v1/explain", { ...query(), id })).values).filter(Boolean));
  } catch (error) {
    place.replaceChildren(h("p", { class: "problem", role: "alert" }, error.message));
  }
}

/** Chooses a document for the comparison, or gives it up; the second one opens it. */
function compare(id) {
  const chosen = state.compared;
  state.compared = chosen.includes(id) ? chosen.filter((other) => other !== id) : [...chosen.slice(-1), id];
  history.replaceState(null, "", writeState(state) || location.pathname);
  showCompared();
  if (state.compared.length === 2 && !chosen.includes(id)) compareBoth();
}

function showCompared() {
  const { compared } = state;
  for (const hit of document.querySelectorAll(".hit")) {
    hit.querySelector(".compare").setAttribute("aria-pressed", compared.includes(hit.dataset.id));
  }
  $("compared").hidden = !compared.length;
  $("compare").hidden = compared.length < 2;
  $("compared-text").textContent = compared.length === 1 ? `${compared[0]} is chosen: choose another document to compare it with.`
    : compared.length ? `${compared[0]} and ${compared[1]} are chosen.` : "";
}

async function compareBoth() {
  const [first, second] = state.compared;
  const body = $("comparison-body");
  try {
    const { values } = await ask("v1/compare", { ...query(), first, second });
    body.replaceChildren(...comparison(values, state.compared.map((id) => documents.get(id)?.title)));
  } catch (error) {
    body.replaceChildren(h("p", { class: "problem" }, error.message));
  }
  if (!$("comparison").open) $("comparison").showModal();
}

/** Shows an error, or with null none; one for want of a key with the field for it. */
function show(error, again = null) {
  $("problem").replaceChildren();
  if (!error) return;
  if (!(error instanceof ServiceError)) throw error;
  if (error.status === 401) {
    $("key-form").hidden = false;
    $("key").focus();
    if (!hasKey()) return;
  }
  const message = error.status === 401 ? "The service does not know this key." : error.message;
  const retry = again && error.status !== 401 && error.status !== 400;
  $("problem").append(h("p", { class: "problem" }, `${message} `, retry ? h("button", { type: "button", click: again }, "Try again") : null));
}

async function copyLink() {
  try {
    await navigator.clipboard.writeText(location.href);
    $("status").textContent = "The link was copied.";
  } catch {
    $("status").textContent = "The browser does not let the page copy: the address of this page is the link.";
  }
}

$("search").addEventListener("submit", (event) => {
  event.preventDefault();
  if (served) submit($("query").value);
});
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  setKey($("key").value);
  $("key").value = "";
  show(null);
  start();
});
$("key-button").addEventListener("click", () => {
  $("key-form").hidden = !$("key-form").hidden;
  if (!$("key-form").hidden) $("key").focus();
});
$("index").addEventListener("change", () => {
  state = { ...emptyState(), query: state.query, view: state.view, index: $("index").value };
  history.pushState(null, "", writeState(state));
  showIndex();
  if (state.query) search({ isNew: true });
  else showStart();
});
$("other-samples").addEventListener("click", () => {
  sample += SAMPLES;
  showSamples();
});
$("next-sample").addEventListener("click", () => submit(served.samples[sample++ % served.samples.length]));
$("copy").addEventListener("click", copyLink);
$("compare").addEventListener("click", compareBoth);
$("compare-none").addEventListener("click", () => {
  state.compared = [];
  history.replaceState(null, "", writeState(state));
  showCompared();
  $("results").focus();
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
