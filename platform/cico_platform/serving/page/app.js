// The page: a sentence, a video or a part of a clip goes in, ranked clips come out; the address holds what can be shared.

import * as address from "./address.js";
import { searchByClip, searchByText, searchByVideo, SearchError } from "./api.js";
import { showNothing, showPart, showVideo, trimmed } from "./asked.js";
import { onRecording } from "./camera.js";
import { forgetChosen } from "./compare.js";
import { onDrop } from "./drop.js";
import { searchName } from "./feedback.js";
import * as filters from "./filters.js";
import "./inside.js";
import { append, busy, cardCount, clear, fail, say, show, showSkeletons, tellMore } from "./results.js";

const at = (id) => document.getElementById(id);
const query = at("query"), file = at("file"), more = at("more");
const title = document.title;
// So many cards are there before anyone scrolls; further pages are asked for where clips of one sentence join.
const ENOUGH = 8, PAGES = 3;
let running = new AbortController();
let speed = 1;
// What the next page is asked with.
let further = null;
// What searches again when filters change.
let again = null;

at("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = query.value.trim();
  if (!text) return query.focus();
  address.push({ text, filters: filters.inUse() });
  searchText(text);
});
at("choose").addEventListener("click", () => file.click());
file.addEventListener("change", () => {
  if (file.files.length) searchVideo(file.files[0]);
  file.value = "";
});
more.addEventListener("click", () => showMore());
addEventListener("popstate", restore);
document.querySelector(".speeds").addEventListener("change", (event) => {
  speed = Number(event.target.value);
  for (const video of document.querySelectorAll("main video")) {
    video.defaultPlaybackRate = speed;
    video.playbackRate = speed;
  }
});
filters.onChange(() => again?.());
onDrop((chosen) => searchVideo(chosen));
onRecording(searchVideo);
restore();

function restore() {
  const told = address.read();
  filters.use(told.filters);
  query.value = told.text;
  if (told.text) searchText(told.text);
  else if (told.part) searchPart(told.part);
  else reset();
}

function reset() {
  running.abort();
  again = () => address.push({ filters: filters.inUse() });
  clear();
  showNothing();
  forgetChosen();
  document.body.classList.remove("searched");
  document.title = title;
}

function searchText(text) {
  document.title = `${text} · CiCo`;
  again = () => {
    address.push({ text, filters: filters.inUse() });
    searchText(text);
  };
  const used = filters.inUse();
  run({
    ask: (page, signal) => searchByText(text, used, page, signal),
    describe: (count) => `${count} clip${count === 1 ? "" : "s"} for “${text}”`,
    kind: "text",
    query: text,
  }, showNothing);
}

function searchVideo(chosen, part = null, seconds = undefined) {
  if (chosen.type && !chosen.type.startsWith("video/")) {
    reset();
    return say("That is not a video", "Choose a file that shows someone signing.", true);
  }
  query.value = "";
  const used = filters.inUse();
  address.push({ filters: used });
  document.title = `${chosen.name} · CiCo`;
  again = () => searchVideo(chosen, part, seconds);
  at("asked-search").onclick = () => searchVideo(chosen, trimmed(), seconds);
  run({
    ask: (page, signal) => searchByVideo(chosen, part, used, page, signal),
    describe: (count) => `${count} sentence${count === 1 ? "" : "s"} that it may sign`,
    kind: "video",
    query: null,
  }, () => showVideo(chosen, part, seconds, speed));
}

function searchPart(part) {
  query.value = "";
  document.title = `Part of ${part.video_id} · CiCo`;
  const used = filters.inUse();
  again = () => {
    address.push({ part, filters: filters.inUse() });
    searchPart(part);
  };
  const what = part.find === "clips" ? ["clip", "that look like it"] : ["sentence", "that it may sign"];
  run({
    ask: (page, signal) => searchByClip(part, used, page, signal),
    describe: (count) => `${count} ${what[0]}${count === 1 ? "" : "s"} ${what[1]}`,
    kind: "clip",
    query: null,
  }, (signal) => showPart(part, signal, speed));
}

async function run(search, showAsked) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  clear();
  forgetChosen();
  document.body.classList.add("searched");
  showAsked(signal);
  busy(true);
  const waiting = setTimeout(showSkeletons, 120);
  Object.assign(search, { name: searchName(), speed: () => speed, byPart });
  try {
    const found = await search.ask(1, signal);
    search.takesFeedback = found.takes_feedback;
    show(found, search.describe, search);
    further = { search, signal, page: found.next_page, asking: false };
    clearTimeout(waiting);
    for (let page = 2; page <= PAGES && further.page && cardCount() < ENOUGH; page += 1) {
      if (!(await showMore(false))) break;
    }
  } catch (error) {
    if (signal.aborted) return;
    fail(reason(error));
  } finally {
    clearTimeout(waiting);
    if (!signal.aborted) busy(false);
  }
}

function byPart(part) {
  address.push({ part, filters: filters.inUse() });
  scrollTo({ top: 0 });
  at("results").focus({ preventScroll: true });
  searchPart(part);
}

async function showMore(focus = true) {
  const next = further;
  if (next.asking) return false;
  next.asking = true;
  tellMore("Looking…");
  try {
    const found = await next.search.ask(next.page, next.signal);
    next.page = found.next_page;
    const card = append(found, next.search.describe, next.search);
    if (focus) card?.focus();
    tellMore("");
    return true;
  } catch (error) {
    if (!next.signal.aborted) tellMore(reason(error));
    return false;
  } finally {
    next.asking = false;
  }
}

function reason(error) {
  if (error instanceof SearchError) return error.message;
  console.error(error);
  return "Something went wrong on this page.";
}
