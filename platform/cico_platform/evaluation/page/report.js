"use strict";
// Playing, copying, saving and printing; the report reads as well without.

const said = document.getElementById("said");

for (const video of document.querySelectorAll("video")) {
  const start = Number(video.dataset.start ?? 0);
  const end = Number(video.dataset.end ?? Infinity);
  // A part of a file plays round and round, as a whole file does by itself.
  const again = () => {
    if (video.currentTime >= end - 0.03 && !video.seeking) {
      video.currentTime = start;
      if (!video.ended && playing.has(video)) video.play().catch(() => {});
    }
  };
  video.addEventListener("timeupdate", again);
  video.addEventListener("pause", again);
  video.addEventListener("error", () => {
    video.removeAttribute("controls");
    video.parentElement.querySelector(".broken").hidden = false;
  });
}

const playing = new WeakSet();

for (const button of document.querySelectorAll(".play-all")) {
  button.addEventListener("click", () => {
    const play = button.getAttribute("aria-pressed") !== "true";
    button.setAttribute("aria-pressed", String(play));
    button.textContent = play ? "Pause these clips" : "Play these clips";
    for (const video of button.closest("details").querySelectorAll("video")) {
      if (play) {
        playing.add(video);
        video.play().catch(() => {});
      } else {
        playing.delete(video);
        video.pause();
      }
    }
  });
}

for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const block = button.closest("div").querySelector("pre");
    let done = "Copied";
    try {
      await navigator.clipboard.writeText(block.textContent);
    } catch {
      getSelection().selectAllChildren(block);
      done = "Selected: copy it with the keyboard";
    }
    said.textContent = button.textContent = done;
  });
}

for (const button of document.querySelectorAll(".save")) {
  button.addEventListener("click", () => {
    const figure = button.closest("figure");
    const blob = new Blob([figure.querySelector("svg").outerHTML], { type: "image/svg+xml" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${figure.dataset.name}.svg`;
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

let closed = [];
addEventListener("beforeprint", () => {
  closed = [...document.querySelectorAll("details:not([open]):not(.export)")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});
