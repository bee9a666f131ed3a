// The API key: asked for when the service wants one, kept for this tab alone, sent in a header and never in an address.

const NAME = "cico-key";
const at = (id) => document.getElementById(id);
const dialog = at("key"), form = at("key-form"), field = at("key-value"), said = at("key-said"), forget = at("forget");
let key = stored()?.getItem(NAME) ?? "";
let asking = null;

export function keyInUse() {
  return key;
}

export function keyHeaders() {
  return key ? { authorization: `Bearer ${key}` } : {};
}

// Ask for another key than the one that was refused; false if none is given.
export function renewKey(refused, signal) {
  if (key && key !== refused) return Promise.resolve(true);
  keep("");
  asking ??= open(refused, signal).finally(() => { asking = null; });
  return asking;
}

function open(refused, signal) {
  tell(refused ? "That key is not known here, or was removed." : "");
  dialog.showModal();
  const close = () => dialog.close();
  signal.addEventListener("abort", close, { once: true });
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      signal.removeEventListener("abort", close);
      field.value = "";
      resolve(Boolean(key));
    }, { once: true });
  });
}

function tell(text) {
  said.textContent = text;
  said.hidden = !text;
  field.setAttribute("aria-invalid", String(Boolean(text)));
}

function keep(value) {
  key = value;
  if (value) stored()?.setItem(NAME, value);
  else stored()?.removeItem(NAME);
  forget.hidden = !value;
}

// Browsers may forbid it; then the key is kept until the page is left.
function stored() {
  try {
    return sessionStorage;
  } catch {
    return null;
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  const value = field.value.trim();
  if (!/^[!-~]+$/.test(value)) {
    tell(value ? "A key has no spaces, and only plain letters, digits and signs." : "Type or paste a key.");
    return field.focus();
  }
  keep(value);
  dialog.close();
});
at("key-cancel").addEventListener("click", () => dialog.close());
forget.addEventListener("click", () => {
  keep("");
  at("query").focus();
});
forget.hidden = !key;
