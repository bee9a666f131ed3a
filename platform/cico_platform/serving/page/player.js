// A clip that plays in a loop where it is seen. It may be a part of a longer file.

import { attach, load } from "./media.js";

const still = matchMedia("(prefers-reduced-motion: reduce)");
const playing = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    target.dataset.seen = isIntersecting ? "yes" : "";
    if (isIntersecting) playSeen(target);
    else target.pause();
  }
}, { threshold: 0.2 });

export function unwatch(video) {
  playing.unobserve(video);
}

export async function playSeen(video) {
  const why = await load(video);
  if (why) breakOff(video, why);
  else if (video.dataset.seen && !video.dataset.held) video.play().catch(() => {});
}

export function breakOff(video, why) {
  const stage = video.closest(".stage");
  stage.classList.add("broken");
  stage.querySelector(".why").textContent = why;
}

// Times are seconds within the clip.
export function playClip(card, video, result, length, speed) {
  const button = card.querySelector(".play");
  const head = card.querySelector(".head");
  const moved = [];
  let from = 0, to = length;
  attach(video, result.media);
  video.muted = true;
  video.defaultPlaybackRate = speed;
  video.playbackRate = speed;
  if (still.matches) hold(true);

  function hold(held) {
    if (held) video.dataset.held = "yes";
    else delete video.dataset.held;
    button.setAttribute("aria-pressed", String(!held));
    button.firstElementChild.textContent = held ? "Play" : "Pause";
  }
  function tick() {
    const time = video.currentTime - result.start;
    if (!video.paused && (time >= to - 0.02 || time < from - 0.1)) video.currentTime = result.start + from;
    const shown = Math.min(Math.max(time / length, 0), 1);
    head.style.left = `calc(${shown * 100}% - ${shown * 2}px)`;
    for (const listen of moved) listen(time);
    if (video.isConnected && !video.paused) requestAnimationFrame(tick);
  }
  video.addEventListener("loadedmetadata", () => { video.currentTime = result.start + from; });
  video.addEventListener("play", () => requestAnimationFrame(tick));
  video.addEventListener("seeked", () => { if (video.paused) tick(); });
  video.addEventListener("ended", () => { video.currentTime = result.start + from; video.play().catch(() => {}); });
  video.addEventListener("error", () => { if (video.hasAttribute("src")) breakOff(video, "This video can't be played"); });
  button.addEventListener("click", () => {
    hold(!video.dataset.held);
    if (video.dataset.held) video.pause();
    else playSeen(video);
  });
  playing.observe(video);
  return {
    jump(time) { video.currentTime = result.start + Math.min(time, length - 0.04); },
    now() { return Math.min(Math.max(video.currentTime - result.start, 0), length); },
    loop(first, last) { [from, to] = [first, last]; },
    onTime(listen) { moved.push(listen); },
  };
}
