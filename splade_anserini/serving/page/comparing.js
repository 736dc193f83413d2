// The two documents that are compared.

import { ask, ServiceError } from "./api.js";
import { $, h } from "./dom.js";
import { comparison } from "./explaining.js";

/** The choice of two documents. `changed` is called with their ids, `query` and `titleOf` say what is shown of them. */
export class Comparing {
  constructor({ changed, query, titleOf }) {
    Object.assign(this, { changed, query, titleOf });
    this.ids = [];
    $("compare").addEventListener("click", () => this.open());
    $("compare-none").addEventListener("click", () => {
      this.choose([]);
      $("results").focus();
    });
  }

  /** Chooses a document, or gives it up; the second one opens the comparison. */
  toggle(id) {
    const before = this.ids;
    this.choose(before.includes(id) ? before.filter((other) => other !== id) : [...before.slice(-1), id]);
    if (this.ids.length === 2 && !before.includes(id)) this.open();
  }

  choose(ids) {
    this.show(ids);
    this.changed(ids);
  }

  show(ids) {
    this.ids = ids;
    for (const hit of document.querySelectorAll(".hit")) {
      hit.querySelector(".compare").setAttribute("aria-pressed", String(ids.includes(hit.dataset.id)));
    }
    $("compared").hidden = !ids.length;
    $("compare").hidden = ids.length < 2;
    $("compared-text").textContent = ids.length === 1 ? `${ids[0]} is chosen: choose another document to compare it with.`
      : ids.length ? `${ids[0]} and ${ids[1]} are chosen.` : "";
  }

  async open() {
    const [first, second] = this.ids;
    const body = $("comparison-body");
    try {
      const { values } = await ask("v1/compare", { ...this.query(), first, second });
      body.replaceChildren(...comparison(values, this.ids.map(this.titleOf)));
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      body.replaceChildren(h("p", { class: "problem" }, error.message));
    }
    if (!$("comparison").open) $("comparison").showModal();
  }

  close() {
    if ($("comparison").open) $("comparison").close();
  }
}
