// Asking the search API, with a key where it needs one; an error carries a sentence for people.

import { keyHeaders, keyInUse, renewKey } from "./key.js";

export class SearchError extends Error {}

export function searchByText(text, page, signal) {
  return ask("v1/search", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text, page, limit: 12 }),
    signal,
  });
}

export function searchByVideo(file, page, signal) {
  return ask("v1/search/video", { body: form({ limit: 12, page }, file), signal });
}

export function searchInside(file, text, signal) {
  return ask("v1/search/inside", { body: form({ text, limit: 8 }, file), signal });
}

function form(fields, file) {
  const made = new FormData();
  for (const [name, value] of Object.entries(fields)) made.append(name, value);
  made.append("file", file, file.name);
  return made;
}

async function ask(address, { headers = {}, body, signal }) {
  for (;;) {
    const used = keyInUse();
    const response = await send(address, { method: "POST", headers: { ...headers, ...keyHeaders() }, body, signal });
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
