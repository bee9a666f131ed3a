// The file of a clip, once it comes into view. Without a key the browser asks for it itself, part by part. A video element
// can't send a key: then the file is fetched, held within bounds, and let go of.

import { keyHeaders, keyInUse } from "./key.js";

const MOST_EACH = 64 << 20;
const MOST_HELD = 256 << 20;
const clips = new Map();

export function attach(video, address) {
  clips.set(video, { address, keyed: Boolean(keyInUse()), url: "", size: 0, leaving: new AbortController(), loading: null });
}

// Resolves to "" once the video has its file, or to the reason why it has none.
export function load(video) {
  const clip = clips.get(video);
  if (!clip) return Promise.resolve("");
  if (!clip.keyed) {
    if (!video.hasAttribute("src")) video.src = clip.address;
    return Promise.resolve("");
  }
  clip.loading ??= fetchClip(video, clip);
  return clip.loading;
}

export function release(video) {
  const clip = clips.get(video);
  clips.delete(video);
  clip?.leaving.abort();
  unload(video, clip);
}

async function fetchClip(video, clip) {
  try {
    const response = await fetch(clip.address, { headers: keyHeaders(), signal: clip.leaving.signal });
    if (!response.ok) return response.status === 401 ? "This video needs another API key" : "This video can't be had";
    const blob = await readWhole(response);
    if (clips.get(video) !== clip) return "";
    if (!blob) return "This file is too large to be played with a key";
    clip.url = URL.createObjectURL(blob);
    clip.size = blob.size;
    makeRoom(video);
    video.src = clip.url;
    return "";
  } catch (error) {
    return error.name === "AbortError" ? "" : "This video can't be had";
  }
}

async function readWhole(response) {
  if (Number(response.headers.get("content-length")) > MOST_EACH) {
    response.body.cancel();
    return null;
  }
  const parts = [], reader = response.body.getReader();
  let size = 0;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(parts, { type: response.headers.get("content-type") ?? "" });
    size += value.length;
    if (size > MOST_EACH) {
      reader.cancel();
      return null;
    }
    parts.push(value);
  }
}

// The clips that were loaded first and are out of sight go; they are fetched again when they are seen again.
function makeRoom(needed) {
  let held = 0;
  for (const clip of clips.values()) held += clip.size;
  for (const [video, clip] of clips) {
    if (held <= MOST_HELD) return;
    if (video === needed || !clip.url || video.dataset.seen) continue;
    held -= clip.size;
    unload(video, clip);
  }
}

function unload(video, clip) {
  video.pause();
  video.removeAttribute("src");
  video.load();
  if (!clip) return;
  if (clip.url) URL.revokeObjectURL(clip.url);
  Object.assign(clip, { url: "", size: 0, loading: null });
}
