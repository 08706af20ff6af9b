// A picture with its boxes, and the list of them. Moving a threshold only changes what is hidden.

import { shownScore } from "./decisions.js";

const MAX_HIDDEN = 200; // listed at once, the best scores first

const CROWDED = 40; // boxes

/** Make an element with attributes and content. */
export function make(tag, attributes = {}, ...content) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === false || value == null) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...content);
  return element;
}

export class PictureView {
  /** @param {string} title - shown above the picture where two are side by side */
  constructor(title = "") {
    this.boxes = make("div", { class: "boxes", "aria-hidden": "true" });
    this.image = make("img", { alt: "" });
    this.reason = make("p", { class: "reason", role: "status" });
    this.list = make("ul", { class: "found" });
    this.caption = make("figcaption", {}, title);
    this.element = make(
      "figure",
      { class: "view" },
      this.caption,
      make("div", { class: "picture" }, this.image, this.boxes),
      this.reason,
      this.list,
    );
    this.title = title;
    this.entries = new Map();
  }

  /** Show another picture, without boxes; it keeps its shape where the browser cannot show such a file. */
  show({ url, name, width, height }) {
    this.image.src = url;
    this.image.alt = name;
    this.image.parentElement.style.aspectRatio = `${width} / ${height}`;
    this.clear();
  }

  clear() {
    this.entries.clear();
    this.boxes.replaceChildren();
    this.list.replaceChildren();
    this.reason.textContent = "";
  }

  /**
   * Show decisions.
   * @param {object[]} decided - detections, or choices without a box, each with key, fate and reason
   * @param {Map<string, {colour: string, text: string}>} colours - by label
   * @param {boolean} withHidden - whether those that are not shown in Label Studio are listed too
   */
  update(decided, colours, withHidden) {
    if (decided.some((each) => !this.entries.has(each.key)) || decided.length !== this.entries.size) {
      this.build(decided);
    }
    let hidden = 0;
    let kept = 0;
    for (const each of decided) {
      const entry = this.entries.get(each.key);
      const isKept = each.fate === "kept";
      kept += isKept;
      hidden += !isKept;
      entry.now = each;
      const isHidden = !isKept && !(withHidden && hidden <= MAX_HIDDEN);
      if (entry.row.hidden !== isHidden) {
        entry.row.hidden = isHidden;
        if (entry.box) entry.box.hidden = isHidden;
      }
      if (!isHidden) this.paint(entry, each, colours.get(each.label));
    }
    // So many captions would cover the picture.
    this.boxes.classList.toggle("crowded", kept > CROWDED);
    const all = decided.length;
    this.caption.textContent = `${this.title}${this.title && ": "}${kept} of ${all} shown`;
    if (withHidden && hidden > MAX_HIDDEN) this.caption.textContent += `, the best ${MAX_HIDDEN} of the others listed`;
  }

  paint(entry, each, colour) {
    const isKept = each.fate === "kept";
    const state = `${each.fate} ${each.label} ${colour?.colour} ${each.reason}`;
    if (entry.state === state) return;
    entry.state = state;
    for (const element of [entry.row, entry.box]) {
      element?.classList.toggle("dropped", !isKept);
      element?.style.setProperty("--colour", colour?.colour ?? "#888");
      element?.style.setProperty("--text", colour?.text ?? "white");
    }
    const named = each.label || each.class;
    if (entry.box) entry.box.firstChild.textContent = `${named} ${shownScore(each.score)}`;
    entry.name.textContent = named;
    entry.why.textContent = isKept ? each.because : each.reason;
  }

  build(decided) {
    this.clear();
    const bySize = [];
    for (const each of decided) {
      const name = make("b");
      const why = make("small");
      const entry = { name, why, now: each };
      const looks = {
        onmouseenter: () => this.point(entry),
        onmouseleave: () => this.point(null),
      };
      const button = make(
        "button",
        { type: "button", onfocus: () => this.point(entry), onblur: () => this.point(null), ...looks },
        make("i", { class: "swatch" }),
        name,
        make("span", { class: "score" }, shownScore(each.score)),
        why,
      );
      entry.row = make("li", {}, button);
      if (each.box) {
        const [top, left, bottom, right] = each.box.map((edge) => Math.min(1, Math.max(0, edge)));
        entry.box = make("div", { class: right > 0.85 ? "box at-right" : "box", ...looks }, make("span"));
        Object.assign(entry.box.style, {
          top: `${100 * top}%`,
          left: `${100 * left}%`,
          width: `${100 * (right - left)}%`,
          height: `${100 * (bottom - top)}%`,
        });
        bySize.push([(bottom - top) * (right - left), entry.box]);
      }
      entry.row.hidden = true;
      if (entry.box) entry.box.hidden = true;
      this.entries.set(each.key, entry);
      this.list.append(entry.row);
    }
    // The small ones on top, or the mouse would never reach them.
    bySize.sort((one, other) => other[0] - one[0]);
    this.boxes.append(...bySize.map(([, box]) => box));
  }

  /** Point out one detection, in the picture and in the list, and tell its fate. */
  point(entry) {
    for (const element of this.element.querySelectorAll(".pointed")) element.classList.remove("pointed");
    if (entry === null) {
      this.reason.textContent = "";
      return;
    }
    entry.row.classList.add("pointed");
    entry.box?.classList.add("pointed");
    const { fate, reason, because } = entry.now;
    const told = reason.startsWith(fate) ? reason : `${fate}: ${reason}`;
    this.reason.textContent = fate === "kept" && because ? `${told}: ${because}` : told;
  }
}
