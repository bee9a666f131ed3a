// Filters: their values come from the service when they are first looked at; those in use stand beside as chips.

import { DURATIONS, FIELDS } from "./address.js";
import { filterValues, SearchError } from "./api.js";

const at = (id) => document.getElementById(id);
const panel = at("filters"), box = at("filter-fields"), chips = at("chips"), said = at("filters-said");
const LABELS = {
  corpus: "Corpus", signer: "Signer", language: "Language", sign_language: "Sign language", licence: "Licence", split: "Split",
  min_duration: "At least", max_duration: "At most",
};
// These are offered only where there is a choice.
const MINOR = ["sign_language", "licence", "split"];
let chosen = {};
let values = null;
let asking = null;
let changed = () => {};

export function onChange(listen) {
  changed = listen;
}

export function inUse() {
  return { ...chosen };
}

export function use(filters) {
  chosen = { ...filters };
  draw();
  if (Object.keys(chosen).length && !values && panel.open) load();
}

panel.addEventListener("toggle", () => { if (panel.open && !values) load(); });
at("filter-form").addEventListener("submit", (event) => event.preventDefault());
at("filter-form").addEventListener("change", (event) => take(event.target));
at("filters-clear").addEventListener("click", () => {
  chosen = {};
  draw();
  changed();
  panel.querySelector("summary").focus();
});

function take(field) {
  const { name } = field;
  const value = field.value.trim();
  if (!field.checkValidity()) return tell("A duration is a number of seconds.", true);
  if (value === "") delete chosen[name];
  else chosen[name] = DURATIONS.includes(name) ? Number(value) : value;
  tell("");
  drawChips();
  changed();
}

function load() {
  asking ??= fetchValues().finally(() => { asking = null; });
}

async function fetchValues() {
  tell("Looking…");
  try {
    values = await filterValues(new AbortController().signal);
    tell("");
    draw();
  } catch (error) {
    if (!(error instanceof SearchError)) console.error(error);
    tell(error instanceof SearchError ? error.message : "Something went wrong on this page.", true);
  }
}

function tell(text, bad = false) {
  said.textContent = text;
  said.className = bad ? "said bad" : "said";
  said.hidden = !text;
}

function draw() {
  drawChips();
  for (const name of DURATIONS) at(`filter-${name}`).value = chosen[name] ?? "";
  if (!values) return;
  const focused = document.activeElement?.id;
  box.replaceChildren(...FIELDS.filter(offered).map(choice));
  if (focused?.startsWith("filter-")) at(focused)?.focus();
}

function offered(name) {
  const count = values.fields[name]?.values.length ?? 0;
  return name in chosen || count > (MINOR.includes(name) ? 1 : 0);
}

function choice(name) {
  const { values: known, more } = values.fields[name] ?? { values: [], more: false };
  const line = document.createElement("p");
  line.className = "choice";
  const label = made("label", LABELS[name]);
  label.htmlFor = `filter-${name}`;
  line.append(label, more ? typed(name, known) : picked(name, known));
  return line;
}

function picked(name, known) {
  const select = document.createElement("select");
  Object.assign(select, { id: `filter-${name}`, name });
  select.append(new Option("Any", ""));
  for (const { value, clips } of known) select.append(new Option(`${value} (${clips})`, value));
  if (chosen[name] && !known.some((one) => one.value === chosen[name])) select.append(new Option(chosen[name], chosen[name]));
  select.value = chosen[name] ?? "";
  return select;
}

// Of so many values the commonest are proposed, and every other can be typed.
function typed(name, known) {
  const parts = document.createDocumentFragment();
  const input = document.createElement("input");
  Object.assign(input, { id: `filter-${name}`, name, type: "text", placeholder: "Any", value: chosen[name] ?? "" });
  input.setAttribute("list", `values-${name}`);
  const list = document.createElement("datalist");
  list.id = `values-${name}`;
  list.append(...known.map(({ value, clips }) => new Option(`${clips} clips`, value)));
  parts.append(input, list);
  return parts;
}

function drawChips() {
  const names = [...FIELDS, ...DURATIONS].filter((name) => name in chosen);
  chips.replaceChildren(...names.map(chip));
  at("filters-clear").hidden = !names.length;
}

function chip(name) {
  const told = DURATIONS.includes(name) ? `${LABELS[name].toLowerCase()} ${chosen[name]} s` : `${LABELS[name]}: ${chosen[name]}`;
  const button = made("button", told);
  button.type = "button";
  button.className = "chip";
  button.setAttribute("aria-label", `Remove the filter ${told}`);
  button.addEventListener("click", () => {
    delete chosen[name];
    draw();
    changed();
    (chips.querySelector("button") ?? panel.querySelector("summary")).focus();
  });
  const item = document.createElement("li");
  item.append(button);
  return item;
}

function made(name, text) {
  const element = document.createElement(name);
  element.textContent = text;
  return element;
}
