// A sentence inside a long video: its parts are listed, and play from the file on this computer.

import { SearchError, searchInside } from "./api.js";

const at = (id) => document.getElementById(id);
const form = at("inside-form"), file = at("inside-file"), text = at("inside-text"), said = at("inside-said");
const found = at("inside-found"), video = at("inside-video"), list = at("ranges");
let running = new AbortController();
let until = Infinity;
let readable = Infinity;

form.addEventListener("submit", (event) => {
  event.preventDefault();
  if (file.files.length && text.value.trim()) look(file.files[0], text.value.trim());
});
at("inside").addEventListener("toggle", () => {
  if (!text.value) text.value = at("query").value;
});
video.addEventListener("play", () => requestAnimationFrame(stopInTime));
video.addEventListener("loadedmetadata", () => {
  if (video.duration > readable + 1) say(`${said.textContent}; the file can be read until ${clock(readable)} only`);
});
video.addEventListener("error", () => {
  if (video.src) say("Your browser can't play this file; the times hold all the same.", true);
});

async function look(chosen, sentence) {
  running.abort();
  running = new AbortController();
  const { signal } = running;
  drop();
  say("Reading the video… a long one takes its time.");
  form.setAttribute("aria-busy", "true");
  try {
    const { ranges, read_seconds } = await searchInside(chosen, sentence, signal);
    readable = read_seconds;
    show(chosen, sentence, ranges);
  } catch (error) {
    if (signal.aborted) return;
    if (!(error instanceof SearchError)) console.error(error);
    say(error instanceof SearchError ? error.message : "Something went wrong on this page.", true);
  } finally {
    if (!signal.aborted) form.removeAttribute("aria-busy");
  }
}

function show(chosen, sentence, ranges) {
  if (!ranges.length) return say("It is not found in this video.");
  say(ranges.length === 1 ? `One part may say “${sentence}”` : `${ranges.length} parts may say “${sentence}”, the likeliest first`);
  video.src = URL.createObjectURL(chosen);
  list.replaceChildren(...ranges.map(item));
  found.hidden = false;
}

function item(range) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "range";
  button.append(part("strong", `${clock(range.start)} – ${clock(range.end)}`), " ", part("span", `match ${range.score.toFixed(2)}`));
  button.addEventListener("click", () => play(range, button));
  const made = document.createElement("li");
  const words = part("p", range.words.map((word) => `${word.word} ${clock(word.start)}`).join(" · "));
  words.dir = "auto";
  made.append(button, words);
  return made;
}

function part(name, content) {
  const made = document.createElement(name);
  made.textContent = content;
  return made;
}

function play(range, button) {
  for (const other of list.querySelectorAll("[aria-current]")) other.removeAttribute("aria-current");
  button.setAttribute("aria-current", "true");
  until = range.end;
  video.currentTime = range.start;
  video.play().catch(() => {});
  video.scrollIntoView({ block: "nearest" });
}

// A part ends where it ends; whoever plays on sees the rest.
function stopInTime() {
  if (video.paused || until === Infinity) return;
  if (!video.seeking && video.currentTime >= until) {
    video.pause();
    until = Infinity;
  } else requestAnimationFrame(stopInTime);
}

function drop() {
  video.pause();
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  video.load();
  list.replaceChildren();
  found.hidden = true;
  until = Infinity;
}

function say(sentence, bad = false) {
  said.textContent = sentence;
  said.className = bad ? "said bad" : "said";
  said.setAttribute("role", bad ? "alert" : "status");
  said.hidden = false;
}

function clock(seconds) {
  const tenths = Math.round(seconds * 10);
  const rest = ((tenths % 600) / 10).toFixed(1).padStart(4, "0");
  return `${Math.floor(tenths / 600)}:${rest}`;
}
