// The list of results, and what is said above it.

import { dropCards, makeCard } from "./card.js";

const at = (id) => document.getElementById(id);
const list = at("results"), message = at("message"), bar = at("bar"), summary = at("summary"), more = at("more");

export function clear() {
  dropCards(list);
  message.hidden = bar.hidden = more.hidden = true;
  message.replaceChildren();
  tellMore("");
}

export function busy(waits) {
  if (waits) list.setAttribute("aria-busy", "true");
  else list.removeAttribute("aria-busy");
}

export function show(found, describe, speed) {
  dropCards(list);
  if (!found.results.length) return say("Nothing fits", "No clip of this index passes. Try other words.");
  if (found.nothing_fits) {
    say("Nothing fits", "Even the best of these is likelier wrong than right. They are only the nearest.");
    message.classList.add("unfit");
  } else message.hidden = true;
  append(found, describe, speed);
  bar.hidden = false;
}

// Further results; returns the first of the new cards.
export function append(found, describe, speed) {
  const before = list.children.length;
  list.append(...found.results.map((result, i) => makeCard(result, before + i + 1, speed)));
  const time = found.seconds < 1 ? `${Math.round(found.seconds * 1000)} ms` : `${found.seconds.toFixed(1)} s`;
  const nearest = message.classList.contains("unfit") && !message.hidden ? "Nearest anyway: " : "";
  summary.textContent = `${nearest}${describe(list.children.length)} · ${time}`;
  more.hidden = !found.next_page;
  return list.children[before];
}

export function tellMore(text) {
  at("more-said").textContent = text;
}

export function fail(text) {
  dropCards(list);
  say("That didn't work", text, true);
}

export function say(heading, text, bad = false) {
  const strong = document.createElement("strong");
  strong.textContent = heading;
  message.replaceChildren(strong, text);
  message.className = bad ? "message bad" : "message";
  message.setAttribute("role", bad ? "alert" : "status");
  message.hidden = false;
}

export function showSkeletons() {
  dropCards(list);
  for (let i = 0; i < 3; i += 1) {
    const card = document.createElement("li");
    card.className = "card skeleton";
    card.setAttribute("aria-hidden", "true");
    const stage = document.createElement("div");
    stage.className = "stage";
    const body = document.createElement("div");
    body.className = "body";
    body.append(document.createElement("i"), document.createElement("i"));
    card.append(stage, body);
    list.append(card);
  }
  say("Looking…", "");
  message.classList.add("hidden");
}
