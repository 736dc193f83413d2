// Which stored fields hits show.

import { $, h } from "./dom.js";

const SHOWN_OTHERWISE = new Set(["id", "_id", "title", "contents", "text", "body"]);

/** Returns the names of the fields of a document that are neither its id nor its title or text. */
export const otherFields = (document) =>
  Object.keys(document ?? {}).filter((name) => !SHOWN_OTHERWISE.has(name));

/** The choice of fields. `changed` is called with the names, or with null for all of them. */
export class Fields {
  constructor(changed) {
    this.changed = changed;
    this.names = new Set();
    this.chosen = null;
  }

  /** Forgets the fields of another index. */
  clear() {
    this.names = new Set();
  }

  /** Shows the names of the fields of documents, and which of them are `chosen`: null for all. */
  show(documents, chosen) {
    this.chosen = chosen;
    for (const name of [...(chosen ?? []), ...documents.flatMap(otherFields)]) this.names.add(name);
    $("fields-choice").hidden = !this.names.size;
    const boxes = [...this.names].sort().map((name) => {
      const box = h("input", {
        type: "checkbox", checked: !this.chosen || this.chosen.includes(name), change: () => this.choose(name, box.checked),
      });
      return [name, box];
    });
    const list = $("fields");
    const focused = list.contains(document.activeElement) ? document.activeElement.dataset.name : null;
    list.replaceChildren(...boxes.map(([name, box]) => {
      box.dataset.name = name;
      return h("li", {}, h("label", {}, box, h("span", { dir: "auto" }, name)));
    }));
    boxes.find(([name]) => name === focused)?.[1].focus();
  }

  choose(name, isChosen) {
    const before = this.chosen ?? [...this.names];
    const after = isChosen ? [...before, name] : before.filter((other) => other !== name);
    const isAll = after.length === this.names.size;
    this.changed(isAll ? null : after.sort());
  }
}
