// The expansion of the query: bars that are switched off, re-weighted and added to.

import { $, counted, h } from "./dom.js";

const SHOWN = 10;
const GREATEST = 1000;
const OUTER = new Set(["[CLS]", "[SEP]", "<s>", "</s>", "[UNK]"]);

/** The rows of an expansion. `changed` is called after each change, with the new weights by token. */
export class Expansion {
  constructor(changed) {
    this.changed = changed;
    this.entries = [];
    this.edits = new Map();
    this.rows = new Map();
    this.showAll = false;
    this.wasShown = false;
    $("all-entries").addEventListener("click", () => this.toggleAll());
    $("reset").addEventListener("click", () => this.reset());
    $("add").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add($("add-token").value.trim());
    });
    $("add-token").addEventListener("input", () => this.refuse(""));
  }

  /** Shows the entries of a query; `edits` has other weights of some tokens, 0 for those that are off. */
  show(entries, edits) {
    this.edits = new Map(edits);
    const there = new Set(entries.map((entry) => entry.token));
    const added = [...edits.keys()].filter((token) => !there.has(token)).map(addedEntry);
    this.entries = [...added, ...entries];
    this.scale = 1.5 * Math.max(...entries.map((entry) => entry.weight), 0.01);
    this.showAll = false;
    this.refuse("");
    this.draw();
    // On a narrow page the hits come first.
    if (!this.wasShown) $("expansion-details").open = matchMedia("(min-width: 64.01rem)").matches;
    this.wasShown = true;
  }

  draw() {
    this.rows.clear();
    const list = $("entries");
    list.replaceChildren(...this.entries.map((entry) => this.row(entry)));
    if (!this.entries.length) list.append(h("li", { class: "hint" }, "The query has no words that the index could have."));
    this.fold();
  }

  /** Shows the first entries only, and those that were changed, unless all are to be seen. */
  fold() {
    const hidden = this.entries.filter((entry, index) => {
      const isShown = this.showAll || index < SHOWN || this.edits.has(entry.token);
      this.rows.get(entry.token).row.hidden = !isShown;
      return !isShown;
    });
    const button = $("all-entries");
    button.hidden = this.entries.length <= SHOWN;
    button.textContent = this.showAll ? "Show fewer" : `Show ${counted(hidden.length, "more word", "more words")}`;
    button.setAttribute("aria-expanded", this.showAll);
    this.showChanges();
  }

  showChanges() {
    $("entry-count").textContent = counted(this.entries.length, "word") + (this.edits.size ? `, ${this.edits.size} changed` : "");
    $("reset").hidden = !this.edits.size;
  }

  toggleAll() {
    this.showAll = !this.showAll;
    this.fold();
  }

  row(entry) {
    const weight = this.weight(entry);
    const name = label(entry.token);
    const check = h("input", { type: "checkbox", change: () => this.edit(entry, check.checked ? this.last(entry) : 0) });
    const slide = h("input", {
      type: "range", min: 0, max: this.scale.toFixed(2), step: 0.01, "aria-label": `Weight of ${name}`,
      input: () => this.edit(entry, Number(slide.value)),
    });
    const field = h("input", {
      type: "number", min: 0, max: GREATEST, step: "any", inputmode: "decimal", "aria-label": `Weight of ${name}, as a number`,
      input: () => {
        if (field.value !== "" && field.checkValidity()) this.edit(entry, Number(field.value), field);
      },
      blur: () => this.update(entry),
    });
    const origin = entry.origin && !entry.own && !OUTER.has(entry.origin) ? `from ${label(entry.origin)}` : "";
    const note = entry.isAdded ? "added by you" : origin;
    const row = h("li", { class: `entry${entry.own ? " own" : ""}` },
      h("div", { class: "head" },
        h("label", { class: "token" }, check, h("span", {}, name)),
        h("span", { class: "origin" }, entry.own ? h("span", { class: "unseen" }, "in your query") : note)),
      slide, field);
    this.rows.set(entry.token, { row, check, slide, field, last: weight || entry.weight });
    this.update(entry);
    return row;
  }

  /** Returns the weight that a token gets when it is switched on again. */
  last(entry) {
    return this.rows.get(entry.token).last || entry.weight || 1;
  }

  weight(entry) {
    return this.edits.get(entry.token) ?? entry.weight;
  }

  edit(entry, weight, source = null) {
    if (weight === entry.weight && !entry.isAdded) this.edits.delete(entry.token);
    else this.edits.set(entry.token, weight);
    const row = this.rows.get(entry.token);
    if (weight) row.last = weight;
    this.update(entry, source);
    this.showChanges();
    this.changed(new Map(this.edits));
  }

  /** Shows the weight of an entry; not in the field where it is being typed. */
  update(entry, source = null) {
    const weight = this.weight(entry);
    const { row, check, slide, field } = this.rows.get(entry.token);
    check.checked = weight > 0;
    slide.value = weight;
    slide.style.setProperty("--filled", `${Math.min(1, weight / this.scale) * 100}%`);
    if (field !== source) field.value = Number(weight.toFixed(2));
    row.classList.toggle("off", !weight);
    row.classList.toggle("edited", this.edits.has(entry.token));
  }

  add(token) {
    const known = this.entries.find((entry) => entry.token === token) ??
      this.entries.find((entry) => entry.token === token.toLowerCase());
    if (!token) return;
    if (known) {
      if (this.weight(known)) this.refuse(`${label(known.token)} is there already.`);
      else this.edit(known, this.last(known));
      this.fold();
    } else {
      const entry = addedEntry(token);
      this.entries.unshift(entry);
      this.edits.set(token, entry.weight);
      $("entries").prepend(this.row(entry));
      this.fold();
      this.changed(new Map(this.edits), token);
    }
    $("add-token").value = "";
  }

  /** Takes back a token that the service refuses, and says why. */
  drop(token, problem) {
    this.edits.delete(token);
    this.entries = this.entries.filter((entry) => entry.token !== token);
    this.draw();
    $("add-token").value = token;
    this.refuse(problem);
  }

  refuse(problem) {
    $("add-problem").textContent = problem;
    $("add-token").setAttribute("aria-invalid", problem !== "");
  }

  reset() {
    this.edits.clear();
    this.entries = this.entries.filter((entry) => !entry.isAdded);
    this.draw();
    $("expansion-details").querySelector("summary").focus();
    this.changed(new Map());
  }
}

const addedEntry = (token) => ({ token, weight: 1, own: false, origin: null, isAdded: true });

/** Returns a token as a reader knows words; what continues a word begins with a hyphen. */
export function label(token) {
  return token.startsWith("##") ? `-${token.slice(2)}` : token.replace(/^[Ġ▁]/u, "") || token;
}
