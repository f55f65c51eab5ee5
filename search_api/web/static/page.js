// Niceness only: every page is complete without this file.
"use strict";

// A copy button on the load snippet.
const snippet = document.getElementById("snippet");
if (snippet && navigator.clipboard) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(snippet.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(snippet);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  snippet.closest(".snippet").append(button);
}

// On a phone the page's own section is in sight in the line of links.
const line = document.querySelector(".top nav");
const current = line?.querySelector("[aria-current]");
if (current && line.scrollWidth > line.clientWidth) {
  line.scrollLeft = current.offsetLeft - line.offsetLeft - (line.clientWidth - current.offsetWidth) / 2;
}

// "/" goes to the search box.
document.addEventListener("keydown", (event) => {
  const box = document.getElementById("q");
  const typing = event.target.closest("input, textarea, select");
  if (event.key === "/" && box && !typing && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    box.focus();
    box.select();
  }
});
