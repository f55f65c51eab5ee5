// Results while one types, and without leaving the page when a filter is chosen. The page asks for
// the very URL that the form or link leads to, and takes over those parts of it that are marked
// data-live. Whatever goes wrong, the form and the links still work by themselves.
"use strict";

const form = document.getElementById("search");
const box = document.getElementById("q");
const results = document.querySelector(".results");
const REST = 150; // milliseconds without a key before the search is asked
let asking = null;
let waiting = 0;

function formUrl() {
  const pairs = [...new FormData(form)].filter(([, value]) => value !== "");
  const query = new URLSearchParams(pairs).toString();
  return query ? `${form.action}?${query}` : form.action;
}

// Replace what is marked, but not what is the same; keep what is unfolded and where the focus is.
function take(page) {
  const open = new Set([...document.querySelectorAll("details[open][id]")].map((one) => one.id));
  const focused = document.activeElement?.dataset?.key;
  for (const old of document.querySelectorAll("[data-live]")) {
    const made = page.querySelector(`[data-live="${old.dataset.live}"]`);
    if (made && made.innerHTML !== old.innerHTML) {
      old.replaceChildren(...made.childNodes);
    }
  }
  for (const id of open) {
    document.getElementById(id)?.setAttribute("open", "");
  }
  if (focused && document.activeElement === document.body) {
    const same = [...document.querySelectorAll("[data-key]")].find((one) => one.dataset.key === focused);
    (same ?? document.getElementById("total")).focus({ preventScroll: true });
  }
  document.title = page.title;
}

// Ask for `url` and show it; who asks later is the one who is answered. `note` writes the history.
async function show(url, note) {
  asking?.abort();
  const mine = asking = new AbortController();
  results.setAttribute("aria-busy", "true");
  try {
    const answer = await fetch(url, { signal: mine.signal, headers: { Accept: "text/html" } });
    if (!answer.ok) {
      throw new Error(`status ${answer.status}`);
    }
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    if (mine.signal.aborted) {
      return;
    }
    take(page);
    note?.();
  } catch {
    if (!mine.signal.aborted) {
      document.getElementById("total").textContent = "The search did not answer. Press Enter to try again.";
    }
  }
  if (asking === mine) {
    results.removeAttribute("aria-busy");
  }
}

function typed() {
  clearTimeout(waiting);
  waiting = setTimeout(() => {
    const url = formUrl();
    if (url !== location.href) {
      show(url, () => history.replaceState(null, "", url));
    }
  }, REST);
}

// Where a link leads with what stands in the box by now, asked for or not.
function withTyped(href) {
  const url = new URL(href);
  if ((url.searchParams.get("q") ?? "") !== box.value) {
    const pairs = [...url.searchParams].filter(([name]) => name !== "q");
    url.search = new URLSearchParams(box.value ? [["q", box.value], ...pairs] : pairs);
  }
  return url.href;
}

// On a phone: from the filters, which fold, to the results.
function shown(event) {
  const results = event.target.closest(".shown a");
  if (results) {
    event.preventDefault();
    document.getElementById("narrow").open = false;
    const total = document.getElementById("total");
    total.focus({ preventScroll: true });
    total.scrollIntoView();
  }
}

function clicked(event) {
  const link = event.target.closest("[data-live] a[data-key]");
  if (!link || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) {
    return;
  }
  event.preventDefault();
  clearTimeout(waiting);
  const url = withTyped(link.href);
  show(url, () => history.pushState(null, "", url));
}

if (form && box && results) {
  box.addEventListener("input", (event) => { if (!event.isComposing) typed(); });
  box.addEventListener("compositionend", typed);
  form.addEventListener("submit", () => { clearTimeout(waiting); asking?.abort(); });
  document.addEventListener("click", clicked);
  document.addEventListener("click", shown);
  document.addEventListener("formdata", (event) => {
    if (event.target !== form) event.formData.set("q", box.value);
  });
  addEventListener("popstate", () => {
    box.value = new URLSearchParams(location.search).get("q") ?? "";
    show(location.href, null);
  });
}
