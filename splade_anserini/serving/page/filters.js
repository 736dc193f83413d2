// Conditions on fields that hits have to fulfil.

import { $, h } from "./dom.js";

const COMPARED = [[">=", "at least"], ["<=", "at most"], [">", "more than"], ["<", "less than"]];
const DATED = [[">=", "from"], ["<=", "until"], [">", "after"], ["<", "before"]];
const EQUAL = [["=", "is"], ["!=", "is not"]];
const PARTS = /^([^=!<>]+?)\s*(>=|<=|!=|==?|>|<)\s*(.*)$/s;

/** The filters of a search. `changed` is called with the conditions, and with one that was just added or null. */
export class Filters {
  constructor(changed) {
    this.changed = changed;
    this.fields = {};
    this.conditions = [];
    $("filter-field").addEventListener("change", () => this.showField());
    $("filter-value").addEventListener("input", () => this.refuse(""));
    $("new-filter").addEventListener("submit", (event) => {
      event.preventDefault();
      this.add();
    });
  }

  /** Shows the conditions of a search in an index with these fields, field → type. */
  show(fields, conditions) {
    this.fields = fields;
    this.conditions = [...conditions];
    const names = Object.keys(fields);
    $("filtering").hidden = !names.length && !conditions.length;
    $("new-filter").hidden = !names.length;
    const chosen = $("filter-field").value;
    $("filter-field").replaceChildren(...names.map((name) => h("option", { value: name }, name)));
    if (names.includes(chosen)) $("filter-field").value = chosen;
    this.refuse("");
    this.showField();
    this.draw();
  }

  /** Offers values of documents for the field that is chosen. */
  offer(documents) {
    this.documents = documents;
    const field = $("filter-field").value;
    const isText = this.fields[field] === "str";
    const values = isText ? documents.flatMap((document) => document?.[field] ?? []).map(String) : [];
    $("filter-values").replaceChildren(...[...new Set(values)].sort().map((value) => h("option", { value })));
  }

  showField() {
    const type = this.fields[$("filter-field").value] ?? "str";
    const compared = type === "str" ? [] : type === "date" ? DATED : COMPARED;
    $("filter-operator").replaceChildren(...[...compared, ...EQUAL].map(([value, words]) => h("option", { value }, words)));
    const value = $("filter-value");
    value.inputMode = type === "int" || type === "float" ? "decimal" : "text";
    value.placeholder = type === "date" ? "2024-05-31" : type === "str" ? "value" : "number";
    this.offer(this.documents ?? []);
  }

  draw() {
    $("filters").replaceChildren(...this.conditions.map((condition) => h("li", {}, h("button", {
      type: "button", "aria-label": `Remove the filter ${words(condition)}`,
      click: () => this.remove(condition),
    }, h("span", { dir: "auto" }, words(condition)), h("span", { class: "cross", "aria-hidden": "true" }, "×")))));
  }

  add() {
    const value = $("filter-value").value.trim();
    const condition = `${$("filter-field").value}${$("filter-operator").value}${value}`;
    if (!value) this.refuse("Type a value to compare with.");
    else if (this.conditions.includes(condition)) this.refuse("This filter is there already.");
    else {
      this.conditions.push(condition);
      $("filter-value").value = "";
      this.draw();
      this.changed([...this.conditions], condition);
    }
  }

  remove(condition) {
    this.conditions = this.conditions.filter((other) => other !== condition);
    this.draw();
    this.refuse("");
    $("filter-value").focus();
    this.changed([...this.conditions], null);
  }

  /** Takes back a condition that the service refuses, and says why. */
  drop(condition, problem) {
    this.conditions = this.conditions.filter((other) => other !== condition);
    this.draw();
    $("filter-value").value = condition.match(PARTS)?.[3] ?? "";
    this.refuse(problem);
  }

  refuse(problem) {
    $("filter-problem").textContent = problem;
    $("filter-value").setAttribute("aria-invalid", problem !== "");
  }
}

/** Returns a condition with spaces around its operator. */
function words(condition) {
  const [, field, operator, value] = condition.match(PARTS) ?? [];
  return field ? `${field} ${operator.replace("!=", "≠").replace(">=", "≥").replace("<=", "≤")} ${value}` : condition;
}
