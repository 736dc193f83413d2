// Which words of a text the terms of a score are, and the part of the text that has most of them.

import { h } from "./dom.js";

const WORD = /\p{sc=Han}|(?:(?!\p{sc=Han})[\p{L}\p{M}\p{N}])+/gu;
const SNIPPET = 45;
const LEAST = 0.02;

const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

/** Returns a word without the endings of English plurals and verbs, so that "slabs" is marked for "slab". */
function stem(word) {
  for (const [ending, other] of [["ies", "y"], ["sses", "ss"], ["ing", ""], ["ed", ""], ["es", ""], ["s", ""], ["e", ""]]) {
    if (word.endsWith(ending) && word.length - ending.length >= 3 && !(ending === "s" && word.endsWith("ss"))) {
      return word.slice(0, -ending.length) + other;
    }
  }
  return word;
}

/** Returns a function from a word to its contribution, for contributions by token: word pieces are put together. */
export function matcher(contributions) {
  const words = new Map();
  const stems = new Map();
  const pieces = new Map();
  const add = (map, key, value) => map.set(key, Math.max(map.get(key) ?? 0, value));
  for (const [token, value] of contributions) {
    if (token.startsWith("##")) add(pieces, plain(token.slice(2)), value);
    else {
      const word = plain(token.replace(/^[Ġ▁]/u, ""));
      add(words, word, value);
      if (word.length > 2) add(stems, stem(word), value);
    }
  }
  const known = new Map();
  return (word) => {
    const text = plain(word);
    if (!known.has(text)) known.set(text, contribution(text, words, stems, pieces));
    return known.get(text);
  };
}

function contribution(word, words, stems, pieces) {
  if (words.has(word)) return words.get(word);
  for (let length = word.length - 1; length > 1; length--) {
    const first = words.get(word.slice(0, length));
    const rest = first === undefined ? null : inPieces(word.slice(length), pieces);
    if (rest !== null) return first + rest;
  }
  if (stems.has(stem(word)) && word.length > 2) return stems.get(stem(word));
  for (let length = word.length - 1; length >= 4; length--) {
    const value = pieces.get(word.slice(-length));
    if (value !== undefined) return value;
  }
  return 0;
}

/** Returns the sum of the pieces that make up the rest of a word, or null when they do not. */
function inPieces(rest, pieces) {
  let sum = 0;
  while (rest) {
    let length = rest.length;
    while (length && !pieces.has(rest.slice(0, length))) length--;
    if (!length) return null;
    sum += pieces.get(rest.slice(0, length));
    rest = rest.slice(length);
  }
  return sum;
}

/** Returns the words of a text with their places and contributions. */
function wordsOf(text, contributionOf) {
  return [...text.matchAll(WORD)].map((found) => ({
    start: found.index,
    end: found.index + found[0].length,
    stem: stem(plain(found[0])),
    value: contributionOf(found[0]),
  }));
}

/** Returns a paragraph with a part of a text, or all of it, in which words are marked in three degrees. */
export function markedText(text, contributionOf, greatest, whole = false) {
  const words = wordsOf(text, contributionOf);
  const [first, last] = whole ? [0, words.length] : bestPart(words);
  const start = first ? words[first].start : 0;
  const end = last < words.length ? words[last - 1].end : text.length;
  const parts = marked(text, words.slice(first, last), start, end, greatest);
  return h("p", { class: "text" }, start ? "… " : null, parts, end < text.length ? " …" : null);
}

/** Returns the parts of a title, in which words are marked. */
export const markedTitle = (title, contributionOf, greatest) =>
  marked(title, wordsOf(title, contributionOf), 0, title.length, greatest);

function marked(text, words, start, end, greatest) {
  const parts = [];
  let at = start;
  for (const word of words) {
    if (word.value <= LEAST * greatest) continue;
    parts.push(text.slice(at, word.start));
    parts.push(h("mark", { class: degree(word.value / greatest) }, text.slice(word.start, word.end)));
    at = word.end;
  }
  parts.push(text.slice(at, end));
  return parts;
}

const degree = (share) => (share >= 0.5 ? "much" : share >= 0.15 ? "some" : "little");

/** Returns the range of words whose different words contribute most; the earliest of equal ones. */
function bestPart(words) {
  if (words.length <= SNIPPET * 1.4) return [0, words.length];
  const counts = new Map();
  let sum = 0;
  let best = [-1, 0];
  words.forEach((word, index) => {
    counts.set(word.stem, (counts.get(word.stem) ?? 0) + 1);
    if (counts.get(word.stem) === 1) sum += word.value;
    if (index >= SNIPPET) {
      const gone = words[index - SNIPPET];
      counts.set(gone.stem, counts.get(gone.stem) - 1);
      if (!counts.get(gone.stem)) sum -= gone.value;
    }
    if (index >= SNIPPET - 1 && sum > best[0] * 1.0001) best = [sum, index - SNIPPET + 1];
  });
  return [best[1], best[1] + SNIPPET];
}
