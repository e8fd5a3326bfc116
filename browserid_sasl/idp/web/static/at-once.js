// Presses the button of the only way to sign in. Who comes back to the page presses it themselves.
"use strict";

(() => {
  const [entry] = performance.getEntriesByType("navigation");
  if (entry && entry.type === "back_forward") {
    return;
  }
  document.querySelector("main form").submit();
})();
