// The page: a sentence or a video goes in, ranked clips come out; the address holds the sentence.

import { searchByText, searchByVideo, SearchError } from "./api.js";
import { dropCards, makeCard } from "./card.js";

const at = (id) => document.getElementById(id);
const form = at("form"), query = at("query"), file = at("file"), results = at("results");
const message = at("message"), bar = at("bar"), summary = at("summary"), asked = at("asked");
const title = document.title;
let running = new AbortController();
let speed = 1;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const text = query.value.trim();
  if (!text) return query.focus();
  if (address() !== text) history.pushState(null, "", `?q=${encodeURIComponent(text)}`);
  searchText(text);
});
at("choose").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  if (file.files.length) searchVideo(file.files[0]);
  file.value = "";
});
addEventListener("popstate", restore);
document.querySelector(".speeds").addEventListener("change", (event) => {
  speed = Number(event.target.value);
  for (const video of document.querySelectorAll("video")) {
    video.defaultPlaybackRate = speed;
    video.playbackRate = speed;
  }
});
addDropping();
restore();

function address() {
  return new URLSearchParams(location.search).get("q")?.trim() ?? "";
}

function restore() {
  const text = address();
  query.value = text;
  if (text) searchText(text);
  else reset();
}

function reset() {
  running.abort();
  clear();
  document.body.classList.remove("searched");
  document.title = title;
}

function clear() {
  dropCards(results);
  message.hidden = bar.hidden = true;
  message.replaceChildren();
  showAsked(null);
}

function showAsked(chosen) {
  const video = at("asked-video");
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  asked.hidden = !chosen;
  if (!chosen) return;
  video.src = URL.createObjectURL(chosen);
  video.playbackRate = speed;
  at("asked-name").textContent = chosen.name;
}

function searchText(text) {
  document.title = `${text} · CiCo`;
  run((signal) => searchByText(text, signal), null, (count) => `${count} clip${count === 1 ? "" : "s"} for “${text}”`);
}

function searchVideo(chosen) {
  if (chosen.type && !chosen.type.startsWith("video/")) {
    running.abort();
    clear();
    return say("That is not a video", "Choose a file that shows someone signing.", true);
  }
  query.value = "";
  if (location.search) history.pushState(null, "", "./");
  document.title = `${chosen.name} · CiCo`;
  run((signal) => searchByVideo(chosen, signal), chosen, (count) => `${count} sentence${count === 1 ? "" : "s"} that it may sign`);
}

async function run(search, chosen, describe) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  clear();
  showAsked(chosen);
  document.body.classList.add("searched");
  results.setAttribute("aria-busy", "true");
  const waiting = setTimeout(showSkeletons, 120);
  try {
    const found = await search(signal);
    if (signal.aborted) return;
    show(found, describe);
  } catch (error) {
    if (error.name === "AbortError" || signal.aborted) return;
    dropCards(results);
    say("That didn't work", error instanceof SearchError ? error.message : "Something went wrong on this page.", true);
    if (!(error instanceof SearchError)) console.error(error);
  } finally {
    clearTimeout(waiting);
    if (!signal.aborted) results.removeAttribute("aria-busy");
  }
}

function show(found, describe) {
  dropCards(results);
  if (!found.results.length) return say("Nothing fits", "No clip of this index passes. Try other words.");
  message.hidden = true;
  results.append(...found.results.map((result, i) => makeCard(result, i + 1, speed)));
  const time = found.seconds < 1 ? `${Math.round(found.seconds * 1000)} ms` : `${found.seconds.toFixed(1)} s`;
  summary.textContent = `${describe(found.results.length)} · ${time}`;
  bar.hidden = false;
}

function showSkeletons() {
  dropCards(results);
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
    results.append(card);
  }
  say("Looking…", "");
  message.classList.add("hidden");
}

function say(heading, text, bad = false) {
  const strong = document.createElement("strong");
  strong.textContent = heading;
  message.replaceChildren(strong, text);
  message.className = bad ? "message bad" : "message";
  message.setAttribute("role", bad ? "alert" : "status");
  message.hidden = false;
}

function addDropping() {
  const veil = at("veil");
  const holdsFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    veil.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) veil.hidden = true;
  });
  addEventListener("drop", (event) => {
    if (!holdsFile(event)) return;
    event.preventDefault();
    veil.hidden = true;
    if (event.dataTransfer.files.length) searchVideo(event.dataTransfer.files[0]);
  });
}
