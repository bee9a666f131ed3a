// Two sliders that say which part of a video on this computer is meant; it plays in a loop between them.

export class Trim {
  // `box` holds the sliders and the output; `seconds` is how long the video is, where its file may not say it.
  constructor(box, video) {
    this.video = video;
    this.start = box.querySelector(".trim-start");
    this.end = box.querySelector(".trim-end");
    this.told = box.querySelector("output");
    this.seconds = 0;
    const moved = (slider) => {
      this.order(slider);
      this.tell();
      video.currentTime = slider === this.start ? this.from : Math.max(this.to - 0.5, this.from);
      video.play().catch(() => {});
    };
    for (const slider of [this.start, this.end]) slider.addEventListener("input", () => moved(slider));
    video.addEventListener("timeupdate", () => {
      if (this.seconds && (video.currentTime >= this.to || video.currentTime < this.from - 0.3)) video.currentTime = this.from;
    });
  }

  reset(seconds) {
    this.seconds = seconds;
    for (const slider of [this.start, this.end]) slider.max = seconds.toFixed(2);
    this.start.value = 0;
    this.end.value = this.end.max;
    this.tell();
  }

  get from() { return Number(this.start.value); }

  get to() { return Number(this.end.value); }

  // The part, or null where nothing is trimmed.
  part() {
    if (this.from <= 0 && this.to > Number(this.end.max) - Number(this.end.step)) return null;
    return { start: this.from, end: this.to };
  }

  order(moved) {
    const least = Math.min(0.2, this.seconds);
    if (this.to - this.from >= least) return;
    if (moved === this.start) this.start.value = Math.max(this.to - least, 0);
    else this.end.value = Math.min(this.from + least, this.seconds);
  }

  tell() {
    this.told.textContent = `${this.from.toFixed(1)}–${this.to.toFixed(1)} s of ${this.seconds.toFixed(1)} s`;
    for (const slider of [this.start, this.end]) slider.setAttribute("aria-valuetext", `${Number(slider.value).toFixed(1)} seconds`);
  }
}
