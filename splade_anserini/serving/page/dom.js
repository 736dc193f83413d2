// Elements without HTML: whatever a document contains stays text.

export const $ = (id) => document.getElementById(id);

/** Returns an element with attributes (functions become listeners, false ones are left out) and children. */
export function h(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === false || value === null || value === undefined) continue;
    if (typeof value === "function") element.addEventListener(key, value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return element;
}

/** Returns a bar whose length is a share from 0 to 1. Its value must be in the text beside it. */
export function bar(share, kind = "") {
  const filled = h("span", { class: kind });
  filled.style.width = `${Math.min(1, Math.max(0, share)) * 100}%`;
  return h("span", { class: "bar", "aria-hidden": "true" }, filled);
}

export const number = (value) => value.toLocaleString("en", { maximumFractionDigits: 2 });

export const percent = (share) => (share && share < 0.01 ? "< 1 %" : `${Math.round(share * 100)} %`);

export const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
