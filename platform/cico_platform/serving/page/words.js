// The words of a result at the time they are signed: as spans under the clip, and as buttons that jump to them.

const MOST_LANES = 5;

export function addWords(card, words, length, clip) {
  const track = card.querySelector(".track");
  const list = card.querySelector(".words");
  const lanes = laneOf(words);
  const rows = Math.max(2, ...lanes.map((lane) => lane + 1));
  const marks = words.map((word, i) => {
    const span = document.createElement("span");
    span.className = "span";
    span.style.left = `${(100 * word.start) / length}%`;
    span.style.top = `${8 + (86 * lanes[i]) / rows}%`;
    span.style.height = `${(86 / rows) * 0.7}%`;
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
  list.hidden = !words.length;
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
