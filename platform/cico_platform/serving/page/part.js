// A part of a result, marked while it plays or typed, that a search can be made with.

export function addPart(card, result, length, clip, search) {
  const form = card.querySelector(".part");
  const [start, end] = form.querySelectorAll("input[type=number]");
  const mark = card.querySelector(".track .marked");
  const said = form.querySelector(".said");
  for (const field of [start, end]) field.max = length.toFixed(2);
  start.value = "0";
  end.value = length.toFixed(2);

  function read() {
    return { from: Math.max(Number(start.value) || 0, 0), to: Math.min(end.value === "" ? length : Number(end.value), length) };
  }
  function show() {
    const { from, to } = read();
    const whole = from <= 0 && to >= length - 0.005;
    const wrong = !(to > from);
    said.textContent = wrong ? "The part ends before it starts." : "";
    mark.hidden = whole || wrong;
    mark.style.left = `${(100 * from) / length}%`;
    mark.style.width = `${(100 * (to - from)) / length}%`;
    clip.loop(wrong ? 0 : from, wrong ? length : to);
    return !wrong;
  }
  form.querySelector(".mark-start").addEventListener("click", () => {
    start.value = clip.now().toFixed(2);
    if (read().to <= read().from) end.value = length.toFixed(2);
    show();
  });
  form.querySelector(".mark-end").addEventListener("click", () => {
    end.value = clip.now().toFixed(2);
    if (read().to <= read().from) start.value = "0";
    show();
  });
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!show()) return start.focus();
    const { from, to } = read();
    const whole = from <= 0 && to >= length - 0.005;
    const find = event.submitter?.value === "clips" ? "clips" : "sentences";
    search({ video_id: result.video_id, start: whole ? null : round(from), end: whole ? null : round(to), find });
  });
}

function round(seconds) {
  return Math.round(seconds * 100) / 100;
}
