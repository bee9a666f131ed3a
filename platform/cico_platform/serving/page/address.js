// What the page's address says: a sentence or a part of a clip, and filters; so a search can be shared.

export const FIELDS = ["corpus", "signer", "language", "sign_language", "licence", "split"];
export const DURATIONS = ["min_duration", "max_duration"];

export function read() {
  const told = new URLSearchParams(location.search);
  const filters = {};
  for (const name of FIELDS) if (told.get(name)) filters[name] = told.get(name);
  for (const name of DURATIONS) if (number(told.get(name)) !== null) filters[name] = number(told.get(name));
  const clip = told.get("clip");
  return {
    text: told.get("q")?.trim() ?? "",
    part: clip && { video_id: clip, start: number(told.get("from")), end: number(told.get("to")), find: told.get("find") === "clips" ? "clips" : "sentences" },
    filters,
  };
}

export function push({ text = "", part = null, filters }) {
  const told = [];
  const tell = (name, value) => { if (value !== "" && value != null) told.push(`${name}=${encodeURIComponent(value)}`); };
  tell("q", text);
  if (part) {
    tell("clip", part.video_id);
    tell("from", part.start);
    tell("to", part.end);
    if (part.find === "clips") tell("find", "clips");
  }
  for (const [name, value] of Object.entries(filters)) tell(name, value);
  const wanted = told.length ? `?${told.join("&")}` : "";
  if (wanted !== location.search) history.pushState(null, "", wanted || "./");
}

function number(said) {
  if (said === null || said === "") return null;
  const value = Number(said);
  return Number.isFinite(value) && value >= 0 ? value : null;
}
