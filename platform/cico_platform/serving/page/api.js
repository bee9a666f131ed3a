// Asking the search API, with a key where it needs one; an error carries a sentence for people.

import { keyHeaders, keyInUse, renewKey } from "./key.js";

export class SearchError extends Error {}

const PAGE = 12;

export function searchByText(text, filters, page, signal) {
  return ask("v1/search", json({ text, filters, page, limit: PAGE }, signal));
}

// A part is { start, end } in seconds of the file, or null for all of it.
export function searchByVideo(file, part, filters, page, signal) {
  const fields = { limit: PAGE, page, filters: JSON.stringify(filters), ...part };
  return ask("v1/search/video", { body: form(fields, file), signal });
}

// A part of an indexed clip: { video_id, start, end, find }.
export function searchByClip(part, filters, page, signal) {
  return ask("v1/search/clip", json({ ...part, filters, page, limit: PAGE }, signal));
}

export function searchInside(file, text, signal) {
  return ask("v1/search/inside", { body: form({ text, limit: 8 }, file), signal });
}

export function judge(judgement, signal) {
  return ask("v1/feedback", json(judgement, signal));
}

export function aboutClip(videoId, signal) {
  return ask(`v1/clips/${encodeURIComponent(videoId)}`, { method: "GET", signal });
}

export function filterValues(signal) {
  return ask("v1/filters", { method: "GET", signal });
}

function json(body, signal) {
  return { headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal };
}

function form(fields, file) {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  made.append("file", file, file.name);
  return made;
}

async function ask(address, { method = "POST", headers = {}, body, signal }) {
  for (;;) {
    const used = keyInUse();
    const response = await send(address, { method, headers: { ...headers, ...keyHeaders() }, body, signal });
    const answer = await response.json().catch(() => ({}));
    signal.throwIfAborted();
    if (response.ok) return answer;
    if (response.status !== 401 && response.status !== 403) throw new SearchError(sentence(response.status, answer.detail));
    const renewed = await renewKey(used, signal);
    signal.throwIfAborted();
    if (!renewed) throw new SearchError("This service answers only those who have an API key.");
  }
}

async function send(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new SearchError("The service doesn't answer. Is it still running?");
  }
}

function sentence(status, detail) {
  if (status === 429) return "Many are searching right now. Try again in a moment.";
  if (status === 503) return detail?.startsWith("the video") ? asSentence(detail) : "Many are searching right now. Try again in a moment.";
  if (status >= 500 || !detail) return "The service failed on this search.";
  return asSentence(detail);
}

function asSentence(detail) {
  return detail.charAt(0).toUpperCase() + detail.slice(1) + (/[.!?]$/.test(detail) ? "" : ".");
}
