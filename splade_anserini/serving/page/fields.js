// Which stored fields hits show.

import { $, h } from "./dom.js";

const SHOWN_OTHERWISE = new Set(["id", "_id", "title", "contents", "text", "body"]);
const SHOWN = 8;

/** Returns the names of the fields of a document that are neither its id nor its title or text. */
export const otherFields = (document) =>
  Object.keys(document ?? {}).filter((name) => !SHOWN_OTHERWISE.has(name));

/** The choice of fields: the first ones, unless others are chosen. `changed` is called with their names, or null. */
export class Fields {
  constructor(changed) {
    this.changed = changed;
    this.clear();
  }

  /** Forgets the fields of another index. */
  clear() {
    this.names = new Set();
    this.chosen = null;
  }

  /** Returns the names of the fields that hits show. */
  get shown() {
    return this.chosen ?? [...this.names].slice(0, SHOWN);
  }

  /** Offers the fields of documents; `chosen` has the names of those that hits show, or null. */
  show(documents, chosen) {
    this.chosen = chosen;
    for (const name of documents.flatMap(otherFields)) this.names.add(name);
    const names = [...this.names].sort();
    const focused = document.activeElement?.dataset.field;
    const boxes = new Map(names.map((name) => [name, h("input", {
      type: "checkbox", "data-field": name, checked: this.shown.includes(name), change: (event) => this.choose(name, event.target.checked),
    })]));
    $("fields").replaceChildren(...names.map((name) => h("li", {}, h("label", {}, boxes.get(name), h("bdi", {}, name)))));
    $("fields-choice").hidden = !names.length;
    boxes.get(focused)?.focus();
  }

  choose(name, isChosen) {
    const chosen = isChosen ? [...this.shown, name] : this.shown.filter((other) => other !== name);
    const isUsual = [...this.names].slice(0, SHOWN).sort().join("\n") === [...chosen].sort().join("\n");
    this.changed(isUsual ? null : chosen);
  }
}
