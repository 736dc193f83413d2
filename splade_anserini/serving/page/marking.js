// Passages with the words that match, as the service finds them.

import { h } from "./dom.js";

/** Returns what the greatest contribution of a word is in passages; one that is null has none. */
export const greatest = (...passages) =>
  Math.max(0, ...passages.flatMap((passage) => passage?.marks.map((mark) => mark.product) ?? []));

/** Returns the parts of a passage, in which words are marked in three degrees. */
export function marked({ text, marks, cut_before: before, cut_after: after }, most) {
  // The service counts characters, of which JavaScript counts some twice.
  const characters = Array.from(text);
  const slice = (start, stop) => characters.slice(start, stop).join("");
  const parts = before ? ["… "] : [];
  let position = 0;
  for (const { start, stop, product } of marks) {
    parts.push(slice(position, start), h("mark", { class: degree(product / most) }, slice(start, stop)));
    position = stop;
  }
  parts.push(slice(position), after ? " …" : "");
  return parts;
}

const degree = (share) => (share >= 0.5 ? "much" : share >= 0.15 ? "some" : "little");
