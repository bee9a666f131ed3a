// Two results side by side, in step: by time, or word by word where both say the same words.

import { attach, load, release } from "./media.js";

const at = (id) => document.getElementById(id);
const bar = at("chosen"), told = at("chosen-said"), open = at("chosen-open"), dialog = at("compare");
const [left, right] = dialog.querySelectorAll("video");
const play = at("compare-play"), slider = at("compare-time"), speed = at("compare-speed"), byWords = at("compare-words");
const list = at("compare-list");
const FRAME = 0.04;
// Further apart than this, the right clip jumps.
const DRIFT = 0.08;
let chosen = [];
let steps = [];
let running = false;

export function choose(result) {
  const known = chosen.some((one) => one.video_id === result.video_id);
  chosen = known ? chosen.filter((one) => one.video_id !== result.video_id) : [...chosen.slice(-1), result];
  tell();
}

export function mark(button, videoId) {
  button.dataset.compares = videoId;
  button.setAttribute("aria-pressed", String(chosen.some((one) => one.video_id === videoId)));
}

export function forgetChosen() {
  if (dialog.open) dialog.close();
  chosen = [];
  tell();
}

function tell() {
  bar.hidden = !chosen.length;
  document.body.classList.toggle("choosing", chosen.length > 0);
  told.textContent = chosen.length === 2 ? "Two results are chosen." : "One result is chosen. Choose another to compare it with.";
  open.hidden = chosen.length < 2;
  for (const button of document.querySelectorAll("[data-compares]")) mark(button, button.dataset.compares);
}

open.addEventListener("click", show);
at("chosen-clear").addEventListener("click", () => {
  forgetChosen();
  at("results").focus();
});
at("compare-close").addEventListener("click", () => dialog.close());
dialog.addEventListener("close", letGo);
play.addEventListener("click", () => (running ? pause() : start()));
for (const [id, by] of [["compare-back", -FRAME], ["compare-on", FRAME]]) {
  at(id).addEventListener("click", () => {
    pause();
    seek(position() + by);
  });
}
slider.addEventListener("input", () => {
  pause();
  seek(Number(slider.value));
});
speed.addEventListener("change", setSpeed);
byWords.addEventListener("change", () => seek(position()));

async function show() {
  const [one, other] = chosen;
  dialog.showModal();
  dialog.querySelectorAll("figure").forEach((figure, i) => {
    const result = chosen[i];
    figure.querySelector(".text").textContent = result.text;
    figure.querySelector(".small").textContent = [result.signer && `signer ${result.signer}`, result.video_id].filter(Boolean).join(" · ");
    figure.querySelector(".why").textContent = "";
    figure.querySelector(".stage").classList.remove("broken");
    figure.querySelector("video").setAttribute("aria-label", `${i ? "Right" : "Left"}: ${result.text}`);
  });
  steps = stepsOf(one, other);
  byWords.checked = steps.length > 2;
  byWords.disabled = steps.length <= 2;
  slider.max = length(one).toFixed(2);
  drawWords(one, other);
  for (const [video, result] of [[left, one], [right, other]]) {
    attach(video, result.media);
    video.muted = true;
  }
  const loaded = await Promise.all([left, right].map((video, i) => ready(video, chosen[i])));
  if (!dialog.open || !loaded.every(Boolean)) return;
  setSpeed();
  seek(0);
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) start();
}

async function ready(video, result) {
  const why = await load(video);
  if (!why && video.readyState < 1) {
    await new Promise((resolve) => {
      for (const name of ["loadedmetadata", "error"]) video.addEventListener(name, resolve, { once: true });
    });
  }
  if (!why && !video.error) return Boolean(result);
  video.closest(".stage").classList.add("broken");
  video.closest(".stage").querySelector(".why").textContent = why || "This video can't be played";
  return false;
}

function letGo() {
  pause();
  for (const video of [left, right]) release(video);
  list.replaceChildren();
}

function length(result) {
  return Math.max(result.end - result.start, 0.04);
}

// Times at which both are at the same word, in order: [left, right], the starts and the ends of the clips too.
function stepsOf(one, other) {
  const ends = [[0, 0], [length(one), length(other)]];
  const pairs = one.words.flatMap((word, i) => {
    const same = other.words[i]?.word === word.word ? other.words[i] : other.words.find((each) => each.word === word.word);
    return same ? [[word.start, same.start]] : [];
  });
  pairs.sort((a, b) => a[0] - b[0]);
  const kept = [ends[0]];
  for (const pair of pairs) {
    const [before] = kept.slice(-1);
    if (pair[0] > before[0] + FRAME && pair[1] > before[1] + FRAME && pair[0] < ends[1][0] && pair[1] < ends[1][1]) kept.push(pair);
  }
  return [...kept, ends[1]];
}

// Where the right clip is when the left one is at `time`, and how fast it goes there.
function follow(time) {
  if (!byWords.checked) return { time: Math.min(time, length(chosen[1])), rate: 1 };
  const next = steps.findIndex(([at]) => at > time);
  const i = next < 0 ? steps.length - 1 : Math.max(next, 1);
  const [[a0, b0], [a1, b1]] = [steps[i - 1], steps[i]];
  const rate = (b1 - b0) / (a1 - a0);
  return { time: b0 + rate * (time - a0), rate };
}

function position() {
  return left.currentTime - chosen[0].start;
}

function seek(time) {
  const within = Math.min(Math.max(time, 0), length(chosen[0]) - 0.01);
  left.currentTime = chosen[0].start + within;
  right.currentTime = chosen[1].start + Math.min(follow(within).time, length(chosen[1]) - 0.01);
  showTime(within);
}

function showTime(time) {
  slider.value = time;
  slider.setAttribute("aria-valuetext", `${time.toFixed(2)} seconds`);
  at("compare-clock").textContent = `${time.toFixed(2)} s`;
  for (const button of list.querySelectorAll("button")) button.classList.toggle("now", time >= button.dataset.start && time < button.dataset.end);
}

function setSpeed() {
  left.playbackRate = right.playbackRate = Number(speed.value);
}

function start() {
  running = true;
  label();
  left.play().catch(() => {});
  right.play().catch(() => {});
  requestAnimationFrame(keepInStep);
}

function pause() {
  running = false;
  label();
  left.pause();
  right.pause();
}

function label() {
  play.setAttribute("aria-pressed", String(running));
  play.textContent = running ? "Pause" : "Play";
}

function keepInStep() {
  if (!running || !dialog.open) return;
  let time = position();
  if (time >= length(chosen[0]) - 0.03 || left.ended) {
    seek(0);
    left.play().catch(() => {});
    right.play().catch(() => {});
    time = 0;
  } else if (!left.seeking && !right.seeking) {
    const wanted = follow(time);
    const there = chosen[1].start + Math.min(wanted.time, length(chosen[1]) - 0.01);
    if (Math.abs(right.currentTime - there) > DRIFT) right.currentTime = there;
    right.playbackRate = Math.min(Math.max(Number(speed.value) * wanted.rate, 0.1), 8);
    if (right.paused && !right.ended) right.play().catch(() => {});
  }
  showTime(time);
  requestAnimationFrame(keepInStep);
}

function drawWords(one, other) {
  const both = one.words.filter((word) => other.words.some((each) => each.word === word.word));
  list.replaceChildren(...both.map((word) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "word";
    button.textContent = word.word;
    button.dataset.start = word.start;
    button.dataset.end = word.end;
    button.setAttribute("aria-label", `Go to ${word.word} in both`);
    button.addEventListener("click", () => {
      pause();
      const same = other.words.find((each) => each.word === word.word);
      seek(word.start);
      if (byWords.checked) right.currentTime = chosen[1].start + Math.min(same.start, length(chosen[1]) - 0.01);
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  list.hidden = !both.length;
}
