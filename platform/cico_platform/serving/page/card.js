// One sentence of the results: a clip of it, what is known of the clip on demand, and the other clips that say the same.

import { mark as markChosen, choose } from "./compare.js";
import { addFeedback } from "./feedback.js";
import { release } from "./media.js";
import { addPart } from "./part.js";
import { playClip, unwatch } from "./player.js";
import { addWords } from "./words.js";

// A group holds `results`, which say the same sentence, and which of them is `shown`.
export function makeCard(group, speed, search) {
  const result = group.shown;
  const card = document.getElementById("card").content.firstElementChild.cloneNode(true);
  const length = Math.max(result.end - result.start, 0.04);
  card.dataset.clip = result.video_id;
  card.querySelector(".text").textContent = result.text;
  addChance(card.querySelector(".chance"), result.probability);
  const video = card.querySelector("video");
  video.setAttribute("aria-label", `Result ${result.rank}: ${result.text}`);
  const clip = playClip(card, video, result, length, speed);
  addWords(card, result.words, length, clip);
  addPart(card, result, length, clip, search.byPart);
  addFeedback(card, result, search);
  addAbout(card.querySelector(".about"), result, length);
  addDetails(card, group, result);
  const compare = card.querySelector(".compare");
  compare.setAttribute("aria-label", `Compare result ${result.rank}`);
  compare.addEventListener("click", () => choose(result));
  markChosen(compare, result.video_id);
  group.card = card;
  showOthers(group, speed, search);
  return card;
}

export function dropCard(card) {
  for (const video of card.querySelectorAll("video")) {
    unwatch(video);
    release(video);
  }
}

// Words carry it; the bar only repeats them.
function addChance(line, probability) {
  if (typeof probability !== "number") return line.classList.add("unknown");
  const percent = Math.round(100 * probability);
  const said = percent > 99 ? "over 99%" : percent < 1 ? "under 1%" : `${percent}%`;
  line.querySelector("span").textContent = `${said} likely right`;
  line.querySelector("b").style.width = `${100 * probability}%`;
}

function addDetails(card, group, result) {
  const button = card.querySelector(".more-of-it");
  const details = card.querySelector(".details");
  button.setAttribute("aria-label", `Details of result ${result.rank}`);
  const show = (open) => {
    group.open = open;
    details.hidden = !open;
    card.classList.toggle("open", open);
    button.setAttribute("aria-expanded", String(open));
  };
  button.addEventListener("click", () => {
    show(!group.open);
    if (group.open) card.scrollIntoView({ block: "nearest" });
  });
  show(Boolean(group.open));
}

// The badge on the clip, and in the details a button for each clip of the sentence.
export function showOthers(group, speed, search) {
  const { card, results, shown } = group;
  const badge = card.querySelector(".badge");
  const others = card.querySelector(".others");
  const signers = new Set(results.map((one) => one.signer).filter(Boolean)).size;
  badge.hidden = others.hidden = results.length < 2;
  badge.textContent = signers > 1 ? `${signers} signers` : `${results.length} clips`;
  badge.setAttribute("aria-label", `${badge.textContent} of this sentence: show them`);
  badge.onclick = () => {
    if (!group.open) card.querySelector(".more-of-it").click();
    others.querySelector("button[aria-pressed='true']").focus();
  };
  const list = others.querySelector("ul");
  list.replaceChildren(...results.map((one) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "chip";
    button.textContent = [one.signer ? `signer ${one.signer}` : one.video_id, `match ${one.score.toFixed(2)}`].join(" · ");
    button.setAttribute("aria-pressed", String(one === shown));
    button.addEventListener("click", () => {
      if (one === group.shown) return;
      group.shown = one;
      group.open = true;
      const before = group.card;
      dropCard(before);
      before.replaceWith(makeCard(group, search.speed(), search));
      group.card.querySelector(".others button[aria-pressed='true']").focus();
    });
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
}

function addAbout(line, result, length) {
  const facts = [
    ["Match", result.score.toFixed(2)],
    ["Length", `${length.toFixed(1)} s`],
    ["Signer", result.signer],
    ["Corpus", result.corpus],
    ["Language", result.language],
    ["Sign language", result.sign_language],
    ["Licence", result.licence],
    ["Clip", result.video_id],
  ];
  for (const [name, fact] of facts) {
    if (!fact) continue;
    const term = document.createElement("dt");
    term.textContent = name;
    const told = document.createElement("dd");
    told.textContent = fact;
    const pair = document.createElement("div");
    pair.append(term, told);
    line.append(pair);
  }
}
