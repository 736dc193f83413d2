// What the page shows, in the fragment of its address: a link restores all of it. Keys are never in it.

export const VIEWS = ["impacts", "bm25", "both", "hybrid"];

export const HITS = 10;

export function emptyState() {
  return {
    query: "",
    index: "",
    view: "",
    hits: HITS,
    weights: new Map(),
    filters: [],
    fields: null,
    explained: new Set(),
    compared: [],
  };
}

export function readState(fragment) {
  const values = new URLSearchParams(fragment.replace(/^#/, ""));
  const state = emptyState();
  state.query = values.get("q") ?? "";
  state.index = values.get("index") ?? "";
  if (VIEWS.includes(values.get("view"))) state.view = values.get("view");
  const hits = Number(values.get("k"));
  if (Number.isInteger(hits) && hits > 0) state.hits = hits;
  for (const edit of values.getAll("w")) {
    // A token may itself have a colon.
    const at = edit.lastIndexOf(":");
    const weight = at > 0 ? Number(edit.slice(at + 1) || "-") : NaN;
    if (weight >= 0 && weight <= 1000) state.weights.set(edit.slice(0, at), weight);
  }
  state.filters = [...new Set(values.getAll("filter"))];
  if (values.has("field")) state.fields = values.getAll("field").filter(Boolean);
  state.explained = new Set(values.getAll("explain"));
  state.compared = [...new Set(values.getAll("compare"))].slice(0, 2);
  return state;
}

/** Returns the address of a state, without what it does not say. */
export function writeState(state) {
  const values = new URLSearchParams();
  if (state.query) values.set("q", state.query);
  if (state.index) values.set("index", state.index);
  if (state.view) values.set("view", state.view);
  if (state.hits !== HITS) values.set("k", state.hits);
  for (const [token, weight] of state.weights) values.append("w", `${token}:${weight}`);
  for (const filter of state.filters) values.append("filter", filter);
  for (const field of state.fields?.length === 0 ? [""] : state.fields ?? []) values.append("field", field);
  for (const id of state.explained) values.append("explain", id);
  for (const id of state.compared) values.append("compare", id);
  const fragment = values.toString();
  return fragment ? `#${fragment}` : location.pathname;
}
