// Asking the search API; an error carries a sentence for people.

export class SearchError extends Error {}

export async function searchByText(text, signal) {
  return ask("v1/search", {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text, limit: 12 }),
    signal,
  });
}

export async function searchByVideo(file, signal) {
  const form = new FormData();
  form.append("limit", "12");
  form.append("file", file, file.name);
  return ask("v1/search/video", { method: "POST", body: form, signal });
}

async function ask(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new SearchError("The service doesn't answer. Is it still running?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new SearchError(sentence(response.status, body.detail));
  return body;
}

function sentence(status, detail) {
  if (status === 429 || status === 503) return "Many are searching right now. Try again in a moment.";
  if (status >= 500 || !detail) return "The service failed on this search.";
  return detail.charAt(0).toUpperCase() + detail.slice(1) + (/[.!?]$/.test(detail) ? "" : ".");
}
