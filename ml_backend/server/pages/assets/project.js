// Fetches the figures of a project, puts in the sections that changed, and sends what a reader confirmed.
"use strict";

const SOON = 2_000, USUAL = 30_000; // milliseconds between looks: while something is being computed, and else
const figures = document.getElementById("figures");
const state = document.getElementById("state");
const busy = document.getElementById("busy");
const known = new Map(); // the source of each section, as it was put in
let tag = "", timer = 0, first = true;

async function refresh() {
  clearTimeout(timer);
  let pause = USUAL;
  try {
    const answer = await fetch(figures.dataset.address, {headers: tag ? {"If-None-Match": tag} : {}, cache: "no-store"});
    if (answer.status !== 304) {
      if (!(answer.headers.get("Content-Type") ?? "").startsWith("text/html")) throw new Error(`status ${answer.status}`);
      const done = putIn(await answer.text(), answer.status);
      if (done) tag = answer.headers.get("ETag") ?? "";
      busy.hidden = answer.status !== 202;
      if (answer.status === 202 || !done) pause = SOON;
    }
    if (figures.querySelector("[data-soon]")) pause = SOON;
    state.classList.remove("bad");
  } catch (error) {
    busy.hidden = true;
    say(`The figures cannot be fetched now (${error.message}). It is tried again by itself.`);
    state.classList.add("bad");
    tag = "";
  }
  timer = setTimeout(refresh, pause);
}

// Puts in the sections that differ from those that are there; tells whether all of them could be.
function putIn(source, status) {
  const come = new DOMParser().parseFromString(source, "text/html");
  const sections = [...come.querySelectorAll("section[id]")];
  const open = figures.querySelector("dialog[open]");
  const anchor = [...figures.children].find(each => each.getBoundingClientRect().bottom > 0);
  const top = anchor?.getBoundingClientRect().top;
  const anchorId = anchor?.id, changed = [];
  let whole = true;
  const wanted = new Set(sections.map(each => each.id));
  for (const old of [...figures.children]) if (!wanted.has(old.id)) { old.remove(); known.delete(old.id); }
  let before = null;
  for (const section of sections) {
    const old = document.getElementById(section.id), html = section.outerHTML;
    if (old && known.get(section.id) === html) { before = old; continue; }
    if (old && open && old.contains(open)) { whole = false; before = old; continue; } // a reader is deciding
    const fresh = document.importNode(section, true);
    if (old) { carryOver(old, fresh); old.replaceWith(fresh); } else if (before) before.after(fresh); else figures.prepend(fresh);
    finish(fresh);
    known.set(section.id, html);
    before = fresh;
    const heading = fresh.querySelector("h2");
    if (heading) changed.push(heading.textContent.trim());
  }
  tell(status, changed);
  const now = anchorId && document.getElementById(anchorId);
  if (now && top <= 0) scrollBy(0, now.getBoundingClientRect().top - top);
  return whole;
}

// Remembers what is open, how far a table is scrolled, and where the focus is.
function carryOver(old, fresh) {
  const parts = (root, selector) => [...root.querySelectorAll(selector)];
  const name = each => each.querySelector("summary")?.textContent ?? "";
  const open = new Set(parts(old, "details[open]").map(name));
  for (const each of parts(fresh, "details")) each.open = open.has(name(each));
  const wide = parts(old, ".wide").map(each => each.scrollLeft);
  const focusable = "a, button, summary, [tabindex]";
  const place = parts(old, focusable).indexOf(document.activeElement);
  fresh.finish = () => {
    parts(fresh, ".wide").forEach((each, index) => { each.scrollLeft = wide[index] ?? 0; });
    if (place >= 0) parts(fresh, focusable)[place]?.focus({preventScroll: true});
  };
}

function finish(fresh) {
  fresh.finish?.();
  for (const image of fresh.querySelectorAll("img")) {
    image.addEventListener("error", () => {
      const note = document.createElement("p"), why = document.createElement("a");
      note.className = "note";
      why.href = image.src;
      why.textContent = "Why?";
      note.append("The image cannot be shown. ", why);
      image.replaceWith(note);
    }, {once: true});
  }
}

function tell(status, changed) {
  if (status === 202) { say("The figures are being computed."); return; }
  if (status >= 400) { say("The figures cannot be had now. The reason is below."); return; }
  const at = new Date().toLocaleTimeString([], {hour: "2-digit", minute: "2-digit"});
  if (first) say(`Figures of ${at}. They are kept current.`);
  else if (changed.length) say(`Updated at ${at}: ${changed.join(", ")}.`);
  first = false;
}

function say(words) {
  if (state.textContent !== words) state.textContent = words;
}

document.addEventListener("click", event => {
  const opener = event.target.closest("[data-opens]");
  if (opener) {
    const dialog = document.getElementById(opener.dataset.opens);
    dialog.querySelector(".answer").hidden = true;
    dialog.showModal();
  }
  if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
});

document.addEventListener("submit", async event => {
  const form = event.target, dialog = form.closest("dialog");
  if (!dialog) return;
  event.preventDefault();
  const buttons = form.querySelectorAll("button"), said = form.querySelector(".answer");
  buttons.forEach(each => { each.disabled = true; });
  answerWith(said, "The change is being made.", false);
  try {
    const answer = await fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form)), headers: {Accept: "application/json"}});
    const values = await answer.json();
    if (answer.ok) {
      dialog.close();
      tag = "";
      await refresh();
      say(values.sentence);
      const heading = document.querySelector("#revisions h2");
      if (heading) { heading.tabIndex = -1; heading.focus(); }
    } else {
      answerWith(said, `Nothing was changed: ${values.error.message}.`, true);
    }
  } catch (error) {
    answerWith(said, `No answer came (${error.message}). Load the page again to see whether the change was made.`, true);
  } finally {
    buttons.forEach(each => { each.disabled = false; });
  }
});

function answerWith(said, words, isProblem) {
  said.classList.toggle("problem", isProblem);
  said.classList.toggle("note", !isProblem);
  said.textContent = words;
  said.hidden = false;
}

refresh();
