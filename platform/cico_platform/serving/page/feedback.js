// Judgements of results, right or wrong, where the service takes them. Of a video nothing is told but that it was one.

import { judge, SearchError } from "./api.js";

// `search` holds { kind, query, name }; what the page has sent is shown by the buttons.
export function addFeedback(card, result, search) {
  const box = card.querySelector(".judge");
  if (!search.takesFeedback) return box.remove();
  const said = box.querySelector(".said");
  const buttons = box.querySelectorAll("button");
  show(result.verdict);

  function show(verdict) {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.value === verdict));
  }
  for (const button of buttons) {
    button.addEventListener("click", async () => {
      const { value } = button;
      show(value);
      try {
        await judge({ kind: search.kind, query: search.query, search: search.name, video_id: result.video_id, rank: result.rank, verdict: value }, new AbortController().signal);
        result.verdict = value;
        said.textContent = `Kept as ${value}. Thank you.`;
      } catch (error) {
        if (!(error instanceof SearchError)) console.error(error);
        show(result.verdict);
        said.textContent = error instanceof SearchError ? error.message : "Something went wrong on this page.";
      }
    });
  }
}

// Drawn at random; it says which judgements belong together, and is sent with nothing else.
export function searchName() {
  const drawn = crypto.getRandomValues(new Uint8Array(12));
  return Array.from(drawn, (byte) => byte.toString(16).padStart(2, "0")).join("");
}
