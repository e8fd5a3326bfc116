// The calls by which a page of an identity provider talks to the dialog of old BrowserID clients
// that embeds it, or has sent the browser here. Its messages are JSON texts, by postMessage:
//   {"id", "method": "vep_prov::NAME", "params"}, answered by {"id", "result"} or {"id", "error"},
//   {"method": "vep_prov::NAME", "params"}, which is not answered; __ready with "ping" and "pong"
//   from both sides comes first.
"use strict";

(() => {
  const page = document.currentScript.dataset;
  const dialogs = JSON.parse(page.dialogs);
  const scope = "vep_prov::";
  const waiting = new Map();
  const queue = [];
  let dialog = "";
  let last = Math.floor(Math.random() * 1e6);

  // Only to origins that the provider's operator has named.
  const post = (message, origin) => window.parent.postMessage(JSON.stringify(message), origin);
  const send = (message) => (dialog ? post(message, dialog) : queue.push(message));
  const notify = (name, params) => send({ method: scope + name, params });

  const call = (name, done) => {
    last += 1;
    waiting.set(last, done);
    send({ id: last, method: scope + name });
  };

  const meet = (origin, says) => {
    if (says === "ping") post({ method: `${scope}__ready`, params: "pong" }, origin);
    dialog = origin;
    for (const message of queue.splice(0)) post(message, dialog);
  };

  const read = (text) => {
    try {
      return JSON.parse(text) || {};
    } catch {
      return {};
    }
  };

  window.addEventListener("message", (event) => {
    const known = dialog ? event.origin === dialog : dialogs.includes(event.origin);
    if (event.source !== window.parent || !known) return;
    const message = read(event.data);
    if (message.method === `${scope}__ready` && !dialog) meet(event.origin, message.params);
    const done = waiting.get(message.id);
    waiting.delete(message.id);
    if (done && !message.method && !message.error) done(message.result);
  });

  const go = (what) => window.location.assign(`${dialogs[0]}/sign_in?${what}`);

  navigator.id = {
    beginProvisioning: (done) =>
      call("beginProvisioning", (asked) => done(asked.email, asked.cert_duration_s)),
    genKeyPair: (done) => call("genKeyPair", done),
    registerCertificate: (certificate) => notify("registerCertificate", certificate),
    raiseProvisioningFailure: (reason) => notify("raiseProvisioningFailure", reason),
    beginAuthentication: (done) => setTimeout(() => done(page.email), 0),
    completeAuthentication: () => go("AUTH_RETURN"),
    raiseAuthenticationFailure: () => go("AUTH_RETURN_CANCEL"),
  };

  const certificateOf = async (email, key) => {
    const text = typeof key === "string" ? key : JSON.stringify(key);
    const fields = { csrf: page.csrf, email, "public-key": text };
    const answer = await fetch(window.location.pathname, {
      method: "POST",
      body: new URLSearchParams(fields),
      headers: { Accept: "application/json" },
    });
    const content = await answer.json();
    if (!answer.ok) throw new Error(content.message);
    return content.certificate;
  };

  const provision = (email) => {
    const fail = (reason) => navigator.id.raiseProvisioningFailure(reason);
    if (page.email.toLowerCase() !== String(email).toLowerCase()) {
      fail("user is not authenticated as target user");
      return;
    }
    navigator.id.genKeyPair((key) => {
      certificateOf(email, key)
        .then(navigator.id.registerCertificate)
        .catch((error) => fail(String(error.message)));
    });
  };

  if (page.step === "provisioning" && window.parent !== window) {
    for (const origin of dialogs) post({ method: `${scope}__ready`, params: "ping" }, origin);
    navigator.id.beginProvisioning(provision);
  } else if (page.step === "authentication") {
    navigator.id.beginAuthentication(navigator.id.completeAuthentication);
  }
})();
