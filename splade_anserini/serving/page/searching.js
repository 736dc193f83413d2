// Answers for the lists that are shown, and for the ranks in the other list.

import { ask } from "./api.js";

const DEPTH = 100;

/** Returns the query of a state, as requests have it. */
export function queryOf(state, index) {
  const values = { query: state.query, index: index.name };
  if (state.weights.size) values.weights = Object.fromEntries(state.weights);
  return values;
}

/**
 * Returns {lists, ranks, depth, missing} for engines; ranks of documents are by engine, `missing` are shards without an
 * answer. `canRank`: whether both have ranks.
 */
export async function lists(state, index, engines, canRank, greatest, signal) {
  const depth = Math.min(Math.max(DEPTH, state.hits), greatest);
  const body = (engine) => {
    const values = { ...queryOf(state, index), engine };
    if (engine === "bm25") delete values.weights;
    if (state.filters.length) values.filters = state.filters;
    return values;
  };
  const shown = { k: state.hits, terms: true, snippets: true, ...(state.fields && { fields: state.fields }) };
  const others = ["impacts", "bm25"].filter((engine) => canRank && (engines.length > 1 || !engines.includes(engine)));
  const answers = await Promise.all([
    ...engines.map((engine) => ask("v1/search", { ...body(engine), ...shown }, signal)),
    ...others.map((engine) => ask("v1/search", { ...body(engine), k: depth, documents: false }, signal)),
  ]);
  const ranks = answers.slice(engines.length).map(({ values }) => new Map(values.hits.map(({ id, rank }) => [id, rank])));
  return {
    lists: engines.map((engine, at) => ({ engine, ...answers[at] })),
    ranks: new Map(others.map((engine, at) => [engine, ranks[at]])),
    depth,
    missing: [...new Set(answers.flatMap(({ values }) => values.missing_shards ?? []))],
  };
}
