// Passkeys for forms with data-passkey="get" or "create" and data-options, where the options come
// from: what the browser answers goes into the form's field "response", and the form is sent.
// What can go wrong is in the form already, translated and hidden, with data-error.
"use strict";

const LIMIT_MS = 60000;

const decode = (text) =>
  Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));

const encode = (buffer) =>
  btoa(String.fromCharCode(...new Uint8Array(buffer)))
    .replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

const decodeIds = (list) => (list || []).map((each) => ({ ...each, id: decode(each.id) }));

function forBrowser(options) {
  const made = { ...options, challenge: decode(options.challenge) };
  if (options.user) made.user = { ...options.user, id: decode(options.user.id) };
  if (options.allowCredentials) made.allowCredentials = decodeIds(options.allowCredentials);
  if (options.excludeCredentials) made.excludeCredentials = decodeIds(options.excludeCredentials);
  return made;
}

function forServer(credential) {
  const response = {};
  for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature",
                      "userHandle"]) {
    if (credential.response[name]) response[name] = encode(credential.response[name]);
  }
  if (credential.response.getTransports) response.transports = credential.response.getTransports();
  return JSON.stringify({
    id: credential.id,
    rawId: encode(credential.rawId),
    type: credential.type,
    response,
    clientExtensionResults: credential.getClientExtensionResults(),
  });
}

async function options(form, signal) {
  const answer = await fetch(form.dataset.options, {
    method: "POST",
    body: new URLSearchParams(new FormData(form)),
    headers: { Accept: "application/json" },
    // Who is signed out by now would be sent to a page, which is no answer.
    redirect: "manual",
    signal,
  });
  if (!answer.ok) throw new DOMException(String(answer.status), "ServerError");
  return forBrowser(await answer.json());
}

async function ask(form) {
  // A ceremony ends for the person to see, whatever browser and authenticator do.
  const abort = new AbortController();
  let limit;
  // Not every browser heeds the signal while it shows a dialogue of its own.
  const late = new Promise((_, reject) => {
    const tooLate = new DOMException("", "TimeoutError");
    limit = setTimeout(() => { abort.abort(tooLate); reject(tooLate); }, LIMIT_MS);
  });
  try {
    return await Promise.race([ceremony(form, abort.signal), late]);
  } finally {
    clearTimeout(limit);
  }
}

async function ceremony(form, signal) {
  const publicKey = await options(form, signal);
  return forServer(await navigator.credentials[form.dataset.passkey]({ publicKey, signal }));
}

function show(form, name) {
  const notes = [...form.querySelectorAll("[data-error]")];
  const fitting = notes.find((note) => note.dataset.error.split(" ").includes(name)) ||
    notes.find((note) => note.dataset.error === "other");
  for (const note of notes) note.hidden = note !== fitting;
}

async function submit(event) {
  const form = event.currentTarget;
  event.preventDefault();
  const button = form.querySelector("button");
  if (button.disabled) return;
  button.disabled = true;
  show(form, "waiting");
  try {
    form.elements.response.value = await ask(form);
    form.submit();
  } catch (error) {
    button.disabled = false;
    show(form, error.name || "other");
    button.focus();
  }
}

const ready = Boolean(window.PublicKeyCredential && navigator.credentials);
for (const form of document.querySelectorAll("form[data-passkey]")) {
  form.hidden = !ready;
  form.addEventListener("submit", submit);
}
for (const note of document.querySelectorAll("[data-no-passkeys]")) note.hidden = ready;
