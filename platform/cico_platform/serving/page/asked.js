// What was searched with, where it is no sentence: a video of this computer, which can be trimmed, or a part of a clip.

import { aboutClip } from "./api.js";
import { attach, load, release } from "./media.js";
import { Trim } from "./trim.js";

const at = (id) => document.getElementById(id);
const asked = at("asked"), video = at("asked-video"), box = at("asked-trim");
const trim = new Trim(box, video);
let own = "";
let shown = null;
let loop = null;

export function showNothing() {
  release(video);
  if (own) URL.revokeObjectURL(own);
  own = "";
  shown = loop = null;
  trim.seconds = 0;
  asked.hidden = true;
}

// `seconds` is how long it is, where it was recorded: such files don't say it.
export function showVideo(chosen, part, seconds, speed) {
  at("asked-kind").textContent = "Sentences for";
  at("asked-name").textContent = part ? `${chosen.name}, ${part.start.toFixed(1)}–${part.end.toFixed(1)} s` : chosen.name;
  if (shown === chosen) return;
  showNothing();
  shown = chosen;
  own = URL.createObjectURL(chosen);
  video.src = own;
  video.loop = true;
  video.playbackRate = speed;
  asked.hidden = false;
  box.hidden = true;
  const ready = () => {
    const length = seconds ?? video.duration;
    if (!Number.isFinite(length) || length < 0.3) return;
    trim.reset(length);
    if (part) {
      trim.start.value = part.start;
      trim.end.value = part.end;
      trim.tell();
    }
    box.hidden = false;
  };
  video.onloadedmetadata = ready;
}

export function trimmed() {
  return trim.part();
}

export async function showPart(part, signal, speed) {
  showNothing();
  at("asked-kind").textContent = part.find === "clips" ? "Clips like" : "Sentences for";
  const times = part.start === null && part.end === null ? "" : `, ${(part.start ?? 0).toFixed(1)}–${part.end === null ? "end" : `${part.end.toFixed(1)} s`}`;
  at("asked-name").textContent = `${part.video_id}${times}`;
  asked.hidden = false;
  box.hidden = true;
  const clip = await aboutClip(part.video_id, signal).catch(() => null);
  if (!clip || signal.aborted) return;
  const from = clip.start + (part.start ?? 0);
  loop = { from, to: part.end === null ? clip.end : clip.start + part.end };
  video.loop = false;
  video.onloadedmetadata = () => { video.currentTime = from; };
  attach(video, clip.media);
  if (await load(video) === "") {
    video.playbackRate = speed;
    video.play().catch(() => {});
  }
}

for (const name of ["timeupdate", "ended"]) {
  video.addEventListener(name, () => {
    if (!loop || (video.currentTime < loop.to && !video.ended)) return;
    video.currentTime = loop.from;
    video.play().catch(() => {});
  });
}
