// The page: a sentence or a video goes in, ranked clips come out; the address holds the sentence.

import { searchByText, searchByVideo, SearchError } from "./api.js";
import { onDrop } from "./drop.js";
import "./inside.js";
import { append, busy, clear, fail, say, show, showSkeletons, tellMore } from "./results.js";

const at = (id) => document.getElementById(id);
const form = at("form"), query = at("query"), file = at("file"), asked = at("asked"), more = at("more");
const title = document.title;
let running = new AbortController();
let speed = 1;
// What the next page is asked with.
let further = null;

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
more.addEventListener("click", showMore);
addEventListener("popstate", restore);
document.querySelector(".speeds").addEventListener("change", (event) => {
  speed = Number(event.target.value);
  for (const video of document.querySelectorAll("video")) {
    video.defaultPlaybackRate = speed;
    video.playbackRate = speed;
  }
});
onDrop(searchVideo);
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
  showAsked(null);
  document.body.classList.remove("searched");
  document.title = title;
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
  run((page, signal) => searchByText(text, page, signal), null, (count) => `${count} clip${count === 1 ? "" : "s"} for “${text}”`);
}

function searchVideo(chosen) {
  if (chosen.type && !chosen.type.startsWith("video/")) {
    reset();
    return say("That is not a video", "Choose a file that shows someone signing.", true);
  }
  query.value = "";
  if (location.search) history.pushState(null, "", "./");
  document.title = `${chosen.name} · CiCo`;
  const describe = (count) => `${count} sentence${count === 1 ? "" : "s"} that it may sign`;
  run((page, signal) => searchByVideo(chosen, page, signal), chosen, describe);
}

async function run(search, chosen, describe) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  clear();
  showAsked(chosen);
  document.body.classList.add("searched");
  busy(true);
  const waiting = setTimeout(showSkeletons, 120);
  try {
    const found = await search(1, signal);
    show(found, describe, speed);
    further = { search, describe, signal, page: found.next_page, asking: false };
  } catch (error) {
    if (signal.aborted) return;
    fail(reason(error));
  } finally {
    clearTimeout(waiting);
    if (!signal.aborted) busy(false);
  }
}

async function showMore() {
  const next = further;
  if (next.asking) return;
  next.asking = true;
  tellMore("Looking…");
  try {
    const found = await next.search(next.page, next.signal);
    next.page = found.next_page;
    append(found, next.describe, speed)?.focus();
    tellMore("");
  } catch (error) {
    if (!next.signal.aborted) tellMore(reason(error));
  } finally {
    next.asking = false;
  }
}

function reason(error) {
  if (error instanceof SearchError) return error.message;
  console.error(error);
  return "Something went wrong on this page.";
}
