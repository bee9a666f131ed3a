// The list of results, one card a sentence, and what is said above it.

import { dropCard, makeCard, showOthers } from "./card.js";

const at = (id) => document.getElementById(id);
const list = at("results"), message = at("message"), bar = at("bar"), summary = at("summary"), more = at("more");
let groups = new Map();
let count = 0;

export function clear() {
  drop();
  message.hidden = bar.hidden = more.hidden = true;
  message.replaceChildren();
  tellMore("");
}

export function busy(waits) {
  if (waits) list.setAttribute("aria-busy", "true");
  else list.removeAttribute("aria-busy");
}

export function cardCount() {
  return groups.size;
}

export function show(found, describe, search) {
  drop();
  if (!found.results.length) return say("Nothing fits", "No clip of this index passes. Try other words, or fewer filters.");
  if (found.nothing_fits) {
    say("Nothing fits", "Even the best of these is likelier wrong than right. They are only the nearest.");
    message.classList.add("unfit");
  } else message.hidden = true;
  append(found, describe, search);
  bar.hidden = false;
}

// Further results; returns the card of the first of them. Clips of a sentence that is there join its card.
export function append(found, describe, search) {
  let first = null;
  for (const result of found.results) {
    count += 1;
    result.rank = count;
    const group = join(result, search);
    first ??= group;
  }
  const time = found.seconds < 1 ? `${Math.round(found.seconds * 1000)} ms` : `${found.seconds.toFixed(1)} s`;
  const nearest = message.classList.contains("unfit") && !message.hidden ? "Nearest anyway: " : "";
  const sentences = groups.size < count ? ` in ${groups.size} sentence${groups.size === 1 ? "" : "s"}` : "";
  summary.textContent = `${nearest}${describe(count)}${sentences} · ${time}`;
  more.hidden = !found.next_page;
  return first?.card;
}

function join(result, search) {
  const said = sameSentence(result.text) || result.video_id;
  const known = groups.get(said);
  if (known) {
    known.results.push(result);
    showOthers(known, search.speed(), search);
    return known;
  }
  const group = { results: [result], shown: result, open: false, card: null };
  groups.set(said, group);
  list.append(makeCard(group, search.speed(), search));
  return group;
}

// Case and punctuation make no other sentence, in any script.
function sameSentence(text) {
  return text.normalize("NFKC").toLowerCase().replace(/[^\p{L}\p{M}\p{N}]+/gu, " ").trim();
}

function drop() {
  for (const card of list.children) dropCard(card);
  list.replaceChildren();
  groups = new Map();
  count = 0;
}

export function tellMore(text) {
  at("more-said").textContent = text;
}

export function fail(text) {
  drop();
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
  drop();
  for (let i = 0; i < 8; i += 1) {
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
