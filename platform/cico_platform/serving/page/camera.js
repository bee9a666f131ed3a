// A recording from the camera: preview, countdown, record, look at it, trim it, take it again. It stays in this page's
// memory until it is searched with or discarded, and is stored nowhere.

import { Trim } from "./trim.js";

const at = (id) => document.getElementById(id);
const dialog = at("camera"), video = at("camera-video"), said = at("camera-said"), count = at("camera-count");
const record = at("camera-record"), stop = at("camera-stop"), retake = at("camera-retake"), use = at("camera-use");
const box = at("camera-trim");
const LONGEST = 20;
const WANTED = { video: { width: { ideal: 640 }, height: { ideal: 480 }, frameRate: { ideal: 25 }, facingMode: "user" }, audio: false };
const KINDS = ["video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm", "video/mp4"];
const trim = new Trim(box, video);
let stream = null, recorder = null, take = null, seconds = 0, timer = 0, session = 0;
let taken = () => {};

export function onRecording(listen) {
  taken = listen;
}

const open = at("record");
open.hidden = !(navigator.mediaDevices?.getUserMedia && window.MediaRecorder);
open.addEventListener("click", () => {
  dialog.showModal();
  preview();
});
record.addEventListener("click", countDown);
stop.addEventListener("click", () => recorder?.stop());
retake.addEventListener("click", preview);
at("camera-discard").addEventListener("click", () => dialog.close());
use.addEventListener("click", () => {
  const [file, part, length] = [take, trim.part(), seconds];
  dialog.close();
  taken(file, part, length);
});
dialog.addEventListener("close", letGo);
addEventListener("pagehide", letGo);

async function preview() {
  letGo();
  const own = session;
  state("wait", "Asking for the camera…");
  try {
    const given = await navigator.mediaDevices.getUserMedia(WANTED);
    if (own !== session || !dialog.open) return given.getTracks().forEach((track) => track.stop());
    stream = given;
  } catch (error) {
    if (own === session) state("failed", whyNot(error));
    return;
  }
  video.srcObject = stream;
  video.play().catch(() => {});
  state("preview", "You see yourself as in a mirror. Nothing is recorded yet.");
  record.focus();
}

function whyNot(error) {
  if (error.name === "NotAllowedError") return "The camera was not allowed. Allow it for this page in your browser, and try again.";
  if (error.name === "NotFoundError" || error.name === "OverconstrainedError") return "No camera was found on this device.";
  return "The camera can't be used. Another program may be using it.";
}

function countDown() {
  state("counting", "Get ready…");
  let left = 3;
  const tell = () => {
    count.textContent = left ? String(left) : "";
    if (!left) return begin();
    left -= 1;
    timer = setTimeout(tell, 700);
  };
  tell();
}

function begin() {
  const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
  const parts = [], own = session;
  recorder = new MediaRecorder(stream, { mimeType, videoBitsPerSecond: 2_500_000 });
  recorder.addEventListener("dataavailable", (event) => { if (event.data.size) parts.push(event.data); });
  const began = performance.now();
  recorder.addEventListener("stop", () => {
    clearTimeout(timer);
    if (own === session) review(parts, (performance.now() - began) / 1000);
  });
  recorder.start();
  state("recording", "Recording…");
  stop.focus();
  const tell = () => {
    const passed = (performance.now() - began) / 1000;
    count.textContent = `${Math.floor(passed)} s`;
    if (passed >= LONGEST) recorder.stop();
    else timer = setTimeout(tell, 250);
  };
  tell();
}

function review(parts, length) {
  endStream();
  const type = parts[0]?.type || "video/webm";
  seconds = length;
  take = new File(parts, `recording.${type.includes("mp4") ? "mp4" : "webm"}`, { type: type.split(";")[0] });
  video.srcObject = null;
  video.src = URL.createObjectURL(take);
  video.loop = true;
  trim.reset(length);
  video.play().catch(() => {});
  state("review", "Only you have this recording. It is sent when you search with it, and not kept.");
  use.focus();
}

function state(name, text) {
  dialog.dataset.state = name;
  said.textContent = text;
  said.className = name === "failed" ? "said bad" : "said";
  count.textContent = "";
  count.setAttribute("aria-live", name === "counting" ? "assertive" : "off");
  record.hidden = name !== "preview";
  stop.hidden = name !== "recording";
  retake.hidden = name !== "review" && name !== "failed";
  retake.textContent = name === "failed" ? "Try again" : "Take it again";
  use.hidden = box.hidden = name !== "review";
}

function endStream() {
  for (const track of stream?.getTracks() ?? []) track.stop();
  stream = null;
}

function letGo() {
  session += 1;
  clearTimeout(timer);
  if (recorder?.state === "recording") recorder.stop();
  recorder = null;
  endStream();
  video.pause();
  video.srcObject = null;
  if (video.src) URL.revokeObjectURL(video.src);
  video.removeAttribute("src");
  video.load();
  take = null;
  trim.seconds = 0;
}
