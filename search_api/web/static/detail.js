// Niceness only: every page is complete without this file.
"use strict";

// Samples load by themselves, into the room that is kept for them.
const preview = document.querySelector(".preview[data-part]");

async function loadSamples(region) {
  region.style.minHeight = `${region.offsetHeight}px`;
  region.setAttribute("aria-busy", "true");
  for (let attempt = 0; attempt < 6; attempt += 1) {
    const answer = await fetch(region.dataset.part, { headers: { Accept: "text/html" } });
    if (answer.status === 202) {
      await new Promise((done) => setTimeout(done, 1000 * (answer.headers.get("Retry-After") ?? 2)));
      continue;
    }
    if (!answer.ok) {
      throw new Error(String(answer.status));
    }
    const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
    region.replaceChildren(...parsed.body.children);
    return;
  }
  throw new Error("too slow");
}

function sayThatThereAreNone(region) {
  const box = document.createElement("div");
  box.className = "nosamples";
  const line = document.createElement("p");
  line.textContent = "The samples did not come. ";
  const again = document.createElement("a");
  again.href = location.href;
  again.textContent = "Try again";
  line.append(again);
  box.append(line);
  region.replaceChildren(box);
}

// The room that they do not need is given back where nobody sees anything move: at once where what
// stands below is out of sight, or else once they themselves are, below.
function settle(region) {
  const below = region.closest("section").nextElementSibling;
  const giveBack = () => {
    region.style.minHeight = "";
    region.classList.remove("coming");
  };
  if (below.getBoundingClientRect().top >= innerHeight) {
    giveBack();
    return;
  }
  const watcher = new IntersectionObserver(([entry]) => {
    if (!entry.isIntersecting && entry.boundingClientRect.top > 0) {
      watcher.disconnect();
      giveBack();
    }
  });
  watcher.observe(region);
}

if (preview) {
  loadSamples(preview)
    .catch(() => sayThatThereAreNone(preview))
    .finally(() => {
      preview.removeAttribute("aria-busy");
      settle(preview);
    });
}

// The map can be moved and magnified: by hand, by wheel, by keys and buttons.
const map = document.querySelector(".map");

class Viewer {
  constructor(frame, picture) {
    this.frame = frame;
    this.picture = picture;
    this.whole = { ...rectangle(picture.viewBox.baseVal) };
    this.frame.classList.add("moving");
    this.begin();
    picture.addEventListener("wheel", (event) => this.onWheel(event), { passive: false });
    picture.addEventListener("pointerdown", (event) => this.onDown(event));
    picture.addEventListener("pointermove", (event) => this.onMove(event));
    picture.addEventListener("pointerup", () => this.onUp());
    picture.addEventListener("pointercancel", () => this.onUp());
    picture.addEventListener("click", (event) => this.moved && event.preventDefault(), true);
    picture.addEventListener("dragstart", (event) => event.preventDefault());
    // Not on the picture: one that listens for the focus takes it, too.
    frame.addEventListener("focusin", (event) => this.show(event.target));
    this.addKeys();
  }

  // All of it where that can be read; otherwise its whole width, or else as much as can, around the
  // middle.
  begin() {
    const room = Math.min(innerHeight * .8, 640);
    const high = this.whole.h * Math.min(1, Math.max(.5, this.frame.clientWidth / this.whole.w));
    this.frame.style.height = `${Math.max(240, Math.min(high + 40, room))}px`;
    const { width, height } = this.picture.getBoundingClientRect();
    const wide = width / this.whole.w;
    const least = wide < .75 && wide >= .5 ? wide : .75; // below a half nobody can read it
    const scale = Math.min(1.1, Math.max(Math.min(wide, height / this.whole.h), least));
    const middle = this.picture.querySelector(".node.middle rect");
    const box = middle ? middle.getBBox() : { x: 0, y: 0, width: this.whole.w, height: this.whole.h };
    const w = width / scale;
    const h = height / scale;
    const fits = w >= this.whole.w && h >= this.whole.h;
    const x = w >= this.whole.w ? (this.whole.w - w) / 2 : box.x + box.width / 2 - w / 2;
    const y = h >= this.whole.h ? (this.whole.h - h) / 2 : box.y + box.height / 2 - h / 2;
    this.set(fits ? { x: (this.whole.w - w) / 2, y: (this.whole.h - h) / 2, w, h } : { x, y, w, h });
  }

  set(view) {
    const w = Math.min(Math.max(view.w, 200), 4 * this.whole.w + 2000);
    const h = view.h * (w / view.w);
    const within = (at, size, all) => Math.min(Math.max(at, -size * .8), all - size * .2);
    this.view = { x: within(view.x, w, this.whole.w), y: within(view.y, h, this.whole.h), w, h };
    this.picture.setAttribute("viewBox", `${this.view.x} ${this.view.y} ${this.view.w} ${this.view.h}`);
  }

  zoom(factor, x = .5, y = .5) {
    const { view } = this;
    this.set({
      x: view.x + view.w * x * (1 - factor),
      y: view.y + view.h * y * (1 - factor),
      w: view.w * factor,
      h: view.h * factor,
    });
  }

  onWheel(event) {
    if (!event.ctrlKey && !event.metaKey) {
      return; // the page scrolls
    }
    event.preventDefault();
    const frame = this.picture.getBoundingClientRect();
    const x = (event.clientX - frame.left) / frame.width;
    const y = (event.clientY - frame.top) / frame.height;
    this.zoom(event.deltaY > 0 ? 1.15 : 1 / 1.15, x, y);
  }

  onDown(event) {
    this.held = { x: event.clientX, y: event.clientY, view: this.view };
    this.moved = false;
  }

  onMove(event) {
    if (!this.held) {
      return;
    }
    const dx = event.clientX - this.held.x;
    const dy = event.clientY - this.held.y;
    if (!this.moved && Math.hypot(dx, dy) > 4) {
      this.moved = true;
      this.picture.setPointerCapture(event.pointerId);
      this.picture.classList.add("held");
    }
    if (this.moved) {
      const scale = this.held.view.w / this.picture.getBoundingClientRect().width;
      this.set({ ...this.held.view, x: this.held.view.x - dx * scale, y: this.held.view.y - dy * scale });
    }
  }

  onUp() {
    this.held = undefined;
    this.picture.classList.remove("held");
  }

  // What has the focus is in sight.
  show(element) {
    const shape = element.querySelector("rect, .line");
    if (!shape || this.held) {
      return;
    }
    const box = shape.getBBox();
    const { view } = this;
    const inside = box.x >= view.x && box.y >= view.y
      && box.x + box.width <= view.x + view.w && box.y + box.height <= view.y + view.h;
    if (!inside) {
      this.set({ ...view, x: box.x + box.width / 2 - view.w / 2, y: box.y + box.height / 2 - view.h / 2 });
    }
  }

  addKeys() {
    const keys = document.createElement("div");
    keys.className = "mapkeys";
    const all = [
      ["+", "Magnify", () => this.zoom(1 / 1.3)],
      ["−", "Reduce", () => this.zoom(1.3)],
      ["⌂", "As it was", () => this.begin()],
    ];
    for (const [sign, name, action] of all) {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = sign;
      button.setAttribute("aria-label", name);
      button.addEventListener("click", action);
      keys.append(button);
    }
    this.frame.append(keys);
    this.frame.addEventListener("keydown", (event) => this.onKey(event));
  }

  onKey(event) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const step = steps[event.key];
    if (event.key === "+" || event.key === "=") {
      this.zoom(1 / 1.3);
    } else if (event.key === "-") {
      this.zoom(1.3);
    } else if (step) {
      const { view } = this;
      this.set({ ...view, x: view.x + step[0] * view.w * .1, y: view.y + step[1] * view.h * .1 });
    } else {
      return;
    }
    event.preventDefault();
  }
}

function rectangle(box) {
  return { x: box.x, y: box.y, w: box.width, h: box.height };
}

if (map) {
  new Viewer(map, map.querySelector("svg"));
}
