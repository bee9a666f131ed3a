// One result: the clip playing in a loop, and under it the words at the time they are signed.

import { attach, load, release } from "./media.js";

const playing = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.dataset.seen = isIntersecting ? "yes" : "";
    if (isIntersecting) playSeen(target);
    else target.pause();
  }
}, { threshold: 0.2 });

const MOST_LANES = 5;
const still = matchMedia("(prefers-reduced-motion: reduce)");

export function makeCard(result, number, speed) {
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  const length = Math.max(result.end - result.start, 0.04);
  card.dataset.clip = result.video_id;
  card.querySelector(".text").textContent = result.text;
  addChance(card.querySelector(".chance"), result.probability);
  const video = card.querySelector("video");
  video.setAttribute("aria-label", `Result ${number}: ${result.text}`);
  const clip = playClip(card, video, result, length, speed);
  addWords(card, result.words, length, clip);
  addAbout(card.querySelector(".about"), result, length);
  return card;
}

export function dropCards(list) {
  for (const video of list.querySelectorAll("video")) {
    playing.unobserve(video);
    release(video);
  }
  list.replaceChildren();
}

async function playSeen(video) {
  const why = await load(video);
  if (why) breakOff(video, why);
  else if (video.dataset.seen && !video.dataset.held) video.play().catch(() => {});
}

function breakOff(video, why) {
  const stage = video.closest(".stage");
  stage.classList.add("broken");
  stage.querySelector(".why").textContent = why;
}

// Words carry it; the bar only repeats them.
function addChance(line, probability) {
  if (typeof probability !== "number") return line.remove();
  const percent = Math.round(100 * probability);
  const said = percent > 99 ? "over 99%" : percent < 1 ? "under 1%" : `${percent}%`;
  line.querySelector("span").textContent = `${said} likely right`;
  line.querySelector("b").style.width = `${100 * probability}%`;
}

// A clip may be a part of a longer file: it loops between its own start and end.
function playClip(card, video, result, length, speed) {
  const button = card.querySelector(".play");
  const head = card.querySelector(".head");
  const moved = [];
  attach(video, result.media);
  video.muted = true;
  video.defaultPlaybackRate = speed;
  video.playbackRate = speed;
  if (still.matches) hold(true);

  function hold(held) {
    if (held) video.dataset.held = "yes";
    else delete video.dataset.held;
    button.setAttribute("aria-pressed", String(!held));
    button.firstElementChild.textContent = held ? "Play" : "Pause";
  }
  function tick() {
    const time = video.currentTime - result.start;
    if (time >= length - 0.02 || time < -0.1) video.currentTime = result.start;
    const shown = Math.min(Math.max(time / length, 0), 1);
    head.style.left = `calc(${shown * 100}% - ${shown * 2}px)`;
    for (const listen of moved) listen(time);
    if (video.isConnected && !video.paused) requestAnimationFrame(tick);
  }
  video.addEventListener("loadedmetadata", () => { video.currentTime = result.start; });
  video.addEventListener("play", () => requestAnimationFrame(tick));
  video.addEventListener("seeked", () => { if (video.paused) tick(); });
  video.addEventListener("ended", () => { video.currentTime = result.start; video.play().catch(() => {}); });
  video.addEventListener("error", () => { if (video.hasAttribute("src")) breakOff(video, "This video can't be played"); });
  button.addEventListener("click", () => {
    hold(!video.dataset.held);
    if (video.dataset.held) video.pause();
    else playSeen(video);
  });
  playing.observe(video);
  return {
    jump(time) { video.currentTime = result.start + Math.min(time, length - 0.04); },
    onTime(listen) { moved.push(listen); },
  };
}

function addWords(card, words, length, clip) {
  const track = card.querySelector(".track");
  const list = card.querySelector(".words");
  const lanes = laneOf(words);
  const rows = Math.max(1, ...lanes.map((lane) => lane + 1));
  track.style.height = `${Math.max(rows, 2) * 8 + 4}px`;
  const marks = words.map((word, i) => {
    const span = document.createElement("span");
    span.className = "span";
    span.style.left = `${(100 * word.start) / length}%`;
    span.style.top = `${3 + lanes[i] * 8}px`;
    span.style.width = `${(100 * Math.max(word.end - word.start, 0)) / length}%`;
    track.append(span);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "word";
    button.textContent = word.word;
    button.dataset.start = word.start;
    button.dataset.end = word.end;
    button.title = `${word.start.toFixed(1)}–${word.end.toFixed(1)} s`;
    button.setAttribute("aria-label", `${word.word}, signed from ${word.start.toFixed(1)} to ${word.end.toFixed(1)} seconds`);
    const light = (on) => {
      span.classList.toggle("lit", on);
      if (on) clip.jump(word.start);
    };
    button.addEventListener("pointerenter", () => light(true));
    button.addEventListener("pointerleave", () => light(document.activeElement === button && button.matches(":focus-visible")));
    button.addEventListener("focus", () => light(true));
    button.addEventListener("blur", () => light(false));
    button.addEventListener("click", () => light(true));
    const item = document.createElement("li");
    item.append(button);
    list.append(item);
    return { word, button };
  });
  clip.onTime((time) => {
    for (const { word, button } of marks) button.classList.toggle("now", time >= word.start && time < word.end);
  });
}

// Words that are signed at the same time lie under one another.
function laneOf(words) {
  const order = words.map((_, i) => i).sort((a, b) => words[a].start - words[b].start);
  const ends = [];
  const lanes = [];
  for (const i of order) {
    let lane = ends.findIndex((end) => end <= words[i].start);
    if (lane < 0) lane = ends.length < MOST_LANES ? ends.length : ends.indexOf(Math.min(...ends));
    ends[lane] = words[i].end;
    lanes[i] = lane;
  }
  return lanes;
}

function addAbout(line, result, length) {
  const facts = [
    `match ${result.score.toFixed(2)}`,
    `${length.toFixed(1)} s`,
    result.signer && `signer ${result.signer}`,
    result.sign_language,
    result.licence,
    result.video_id,
  ];
  for (const fact of facts.filter(Boolean)) {
    const part = document.createElement("span");
    part.textContent = fact;
    line.append(part);
  }
}
