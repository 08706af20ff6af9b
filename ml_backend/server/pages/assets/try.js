// The page for trying pictures: holds pictures, label config and thresholds, and keeps what is shown in step with them.

import { drawTree, searchTree } from "./class_tree.js";
import { decideBoxes, decideChoices, shownScore } from "./decisions.js";
import { connectProjects } from "./studio_projects.js";
import {
  addLabel,
  controlsIn,
  marked,
  removeLabel,
  setAllThresholds,
  setOfControl,
  setOfLabel,
  withoutThresholds,
} from "./label_config.js";
import { make, PictureView } from "./picture_view.js";
import { get, post, postFile, postForFile } from "./service.js";

const $ = (id) => document.getElementById(id);
const page = $("try").dataset;
const LOW = Number(page.threshold); // a class is seen from this score on
const TYPING_MS = 350;
const KEPT = 6; // label configs whose decisions on a picture are kept, the latest ones
const IMAGE = '<View>\n  <Image name="image" value="$image"/>\n';
const EMPTY = {
  detector: '  <RectangleLabels name="label" toName="image">\n  </RectangleLabels>\n',
  classifier: '  <Choices name="choice" toName="image">\n  </Choices>\n',
};
const KIND = { detector: "label", classifier: "choice" };
const models = page.models.split(" ");

const pictures = []; // {name, file, url, large, digest, decisions: by config}
const thresholds = new Map(); // by control, then by label
let current = null;
let config = emptyConfig();
let readKey = null; // of the label config that this belongs to:
let read = { controls: [], coverage: [], problem: "", warnings: [] }; // of the label config
let touched = false; // whether somebody has chosen labels; until then, they follow what is seen
let project = null;
let classes = {}; // by model
const plain = new PictureView("without tiles");
const view = new PictureView();

function emptyConfig() {
  return `${IMAGE}${models.map((each) => EMPTY[each]).join("")}</View>`;
}

// ---- Pictures ----

let adding = Promise.resolve();

/** Add files, after those that are being added. */
function addFiles(files) {
  const chosen = [...files];
  adding = adding.then(() => addEach(chosen));
  return adding;
}

async function addEach(files) {
  const added = files.map((file) => ({ name: file.name, file, url: URL.createObjectURL(file), decisions: new Map() }));
  for (const [index, picture] of added.entries()) {
    tell(`Reading ${picture.name} (${index + 1} of ${added.length})…`);
    try {
      await send(picture);
      pictures.push(picture);
      await decide(picture, config);
    } catch (error) {
      forget(picture);
      complain(`${picture.name}: ${error.message}`);
      continue;
    }
    if (!touched) await propose();
    if (current === null) choose(picture);
    drawThumbnails();
    draw();
    drawMissed();
  }
  tell("");
}

function forget(picture) {
  URL.revokeObjectURL(picture.url);
  if (pictures.includes(picture)) pictures.splice(pictures.indexOf(picture), 1);
}

async function removeCurrent() {
  const place = pictures.indexOf(current);
  forget(current);
  choose(pictures[Math.min(place, pictures.length - 1)] ?? null);
  if (!touched) await propose();
  draw();
  drawMissed();
  (current === null ? $("files") : $("remove")).focus();
}

async function send(picture, tiles = 0) {
  if (picture.file.size > Number(page.maxBytes)) {
    throw new Error(`it has ${picture.file.size.toLocaleString()} bytes; the limit is ${Number(page.maxBytes).toLocaleString()}`);
  }
  const bytes = await picture.file.arrayBuffer().catch(() => {
    throw new Error("it cannot be read. Is it a folder, or gone?");
  });
  Object.assign(picture, await postFile(`try/pictures${tiles ? `?tiles=${tiles}` : ""}`, bytes));
}

const configKey = (text) => `${project ?? ""} ${withoutThresholds(text)}`;

/** Get the decisions on a picture before thresholds, unless they are there. */
async function decide(picture, text) {
  const key = configKey(text);
  const kept = picture.decisions.get(key);
  if (kept) {
    picture.decisions.delete(key); // and again as the latest one
    picture.decisions.set(key, kept);
    return;
  }
  const ask = () => post("try/decisions", { digest: picture.digest, label_config: text, project });
  let answer = await ask();
  if (!answer.known) {
    for (const tiles of answer.tiles.length ? answer.tiles : [0]) {
      if (tiles) tell(`Looking at ${picture.name} in up to ${tiles} × ${tiles} tiles…`);
      await send(picture, tiles);
    }
    tell("");
    answer = await ask();
    if (!answer.known) throw new Error(`the service forgets results at once. Is its cache switched off?`);
  }
  picture.decisions.set(key, answer);
  if (picture.decisions.size > KEPT) picture.decisions.delete(picture.decisions.keys().next().value);
}

function choose(picture) {
  current = picture;
  $("options").hidden = picture === null;
  if (picture === null) $("views").replaceChildren();
  else for (const each of [view, plain]) each.show(picture);
  $("tiles-option").hidden = !pictures.some((each) => each.large);
  drawThumbnails();
}

function drawThumbnails() {
  const buttons = pictures.map((picture) => {
    picture.count = make("span");
    const image = make("img", { src: picture.url, alt: picture.name, loading: "lazy" });
    const onclick = () => {
      choose(picture);
      draw();
      [...$("thumbnails").querySelectorAll("button")][pictures.indexOf(picture)].focus();
    };
    return make("li", {}, make("button", { type: "button", "aria-pressed": String(picture === current), onclick }, image, picture.count));
  });
  $("thumbnails").replaceChildren(...buttons);
}

// ---- Decisions by thresholds ----

/** Return all that is decided about a picture, or null while that is not known. */
function decidedOn(picture, text) {
  const found = picture.decisions.get(configKey(text));
  if (!found) return null;
  const all = [];
  for (const of of found.choices) {
    const decided = decideChoices(of, thresholds.get(of.control) ?? new Map());
    const best = decided.toSorted((one, other) => other.score - one.score);
    all.push(
      ...best.map((each) => ({
        ...each,
        label: each.choice,
        control: of.control,
        key: `${of.control}=${each.choice}`,
        because: each.evidence.map(([name, score]) => `${name} ${shownScore(score)}`).join(", "),
      })),
    );
  }
  for (const of of found.boxes) {
    const control = read.controls.find((each) => each.control === of.control);
    const decided = decideBoxes(of, control, thresholds.get(of.control) ?? new Map());
    all.push(...decided.map((each) => ({ ...each, control: of.control, key: `${of.control}#${each.number}`, because: because(each) })));
  }
  return all;
}

function because(detection) {
  const place = detection.view === "whole" ? "" : `, in tile ${detection.view.split(" ")[1]}`;
  return `${detection.class}${detection.ancestor ? `, under ${detection.ancestor}` : ""}${place}`;
}

const withTiles = (text, number) =>
  controlsIn(text, "label").reduce(
    (now, name) => setOfControl(now, name, "model_tiles", number === Number(page.tiles) ? null : String(number)),
    text,
  );

/** Draw everything that depends on thresholds. It asks nobody. */
function draw() {
  const shown = new Map(); // by control and label: shown and all
  for (const picture of pictures) {
    const decided = decidedOn(picture, config);
    if (!decided) continue;
    if (picture.count) picture.count.textContent = decided.filter((each) => each.fate === "kept").length;
    for (const each of decided) {
      const key = `${each.control}\n${each.label}`;
      const [kept, all] = shown.get(key) ?? [0, 0];
      shown.set(key, [kept + (each.fate === "kept"), all + 1]);
    }
  }
  for (const output of $("controls").querySelectorAll("small[data-key]")) {
    const [kept, all] = shown.get(output.dataset.key) ?? [0, 0];
    output.replaceChildren(String(kept), make("span", {}, ` of ${all}`));
  }
  if (current === null) return;
  const colours = new Map(read.controls.flatMap((control) => control.labels.map((each) => [each.label, each])));
  const withHidden = $("hidden-too").checked || read.problem !== "";
  const comparing = $("compare").checked && $("tiles").value !== "0";
  view.title = comparing ? "with tiles" : "";
  const views = [[view, config], ...(comparing ? [[plain, withTiles(config, 0)]] : [])];
  $("views").replaceChildren(...views.map(([each]) => each.element));
  for (const [each, text] of views) each.update(decidedOn(current, text) ?? [], colours, withHidden);
}

// ---- Label config ----

/** Take over another label config, and get what it means. */
async function setConfig(text, { force = false } = {}) {
  config = text;
  if ($("config").value !== text) $("config").value = text;
  $("copied").textContent = "";
  drawMarks();
  if (configKey(text) === readKey && !force) return;
  try {
    const answer = await post("try/label-config", { label_config: text, project });
    if (config !== text) return; // somebody typed on, or chose something: that is read next
    read = answer;
    readKey = configKey(text);
    thresholds.clear();
    for (const control of read.controls) {
      thresholds.set(control.control, new Map(control.labels.map((each) => [each.label, each.threshold])));
    }
    if (read.controls.length) $("tiles").value = String(Math.max(...read.controls.map((each) => each.tiles ?? 0)));
    drawLabels();
    drawMarks();
    for (const picture of [...(current ? [current] : []), ...pictures]) {
      await decide(picture, text);
      if ($("compare").checked) await decide(picture, withTiles(text, 0));
      if (config !== text) return;
    }
    draw();
    drawMissed();
  } catch (error) {
    complain(error.message);
  }
}

/** Choose labels for what is seen in the pictures: the most general of the classes, so that none is inside another. */
async function propose() {
  let text = emptyConfig();
  for (const model of models) {
    const seen = seenBy(model);
    const byId = new Map((classes[model] ?? []).map((each) => [each.id, each]));
    const isBelowAnother = (id) => {
      for (let up = byId.get(id)?.parent; up; up = byId.get(up)?.parent) if (seen.has(up)) return true;
      return false;
    };
    for (const [id, each] of seen) {
      if (!isBelowAnother(id)) text = addLabel(text, KIND[model], KIND[model], each.name, model === "classifier" ? each.id : "");
    }
  }
  if (text !== config) await setConfig(text);
}

/** Return the classes that a model sees from a score of LOW on, by id, the most frequent first: name, id, label, number of pictures. */
function seenBy(model) {
  const seen = new Map();
  for (const picture of pictures) {
    const found = picture.decisions.get(configKey(config));
    const lists = model === "detector" ? found?.boxes.map((of) => of.detections) : found?.choices.map((of) => of.classes);
    const here = new Map();
    for (const each of (lists ?? []).flat()) {
      if (each.score < LOW) continue;
      const id = each.id || each.class;
      const known = here.get(id) ?? { name: each.class, id: each.id, label: "" };
      here.set(id, { ...known, label: known.label || each.label });
    }
    for (const [id, each] of here) {
      seen.set(id, { ...each, label: seen.get(id)?.label || each.label, pictures: (seen.get(id)?.pictures ?? 0) + 1 });
    }
  }
  return new Map([...seen].sort((one, other) => other[1].pictures - one[1].pictures));
}

/** Draw a part of the page anew, and keep the focus: on the same element, else on the one in its place. */
function redraw(part, ...content) {
  const named = (each) => each.id || each.ariaLabel || each.textContent;
  const all = () => [...part.querySelectorAll("button, input, summary")].filter((each) => each.checkVisibility());
  const focused = document.activeElement;
  const place = all().indexOf(focused);
  part.replaceChildren(...content);
  if (place < 0) return;
  const now = all();
  (now.find((each) => named(each) === named(focused)) ?? now[Math.min(place, now.length - 1)] ?? $("new-label")).focus();
}

function drawMissed() {
  const lists = models.map((model) => {
    const missed = [...seenBy(model).values()].filter((each) => !each.label);
    if (!missed.length) return "";
    const buttons = missed.slice(0, 30).map((each) => {
      const about = `${each.pictures} ${each.pictures === 1 ? "picture" : "pictures"}`;
      const onclick = () => addClasses(model, [each]);
      return make("li", {}, make("button", { type: "button", class: "small", onclick }, `Add ${each.name} (${about})`));
    });
    const all = make("button", { type: "button", class: "small", onclick: () => addClasses(model, missed) }, "Add all");
    return make("div", {}, make("p", {}, `The ${model} also sees: `, missed.length > 1 ? all : ""), make("ul", {}, ...buttons));
  });
  redraw($("missed"), ...lists);
}

/** Add classes of a model as labels or choices. */
function addClasses(model, added) {
  const kind = KIND[model];
  let text = config;
  let [control] = controlsIn(text, kind);
  if (!control) {
    text = text.replace(/<\/View>\s*$/, `${EMPTY[model]}</View>`);
    [control] = controlsIn(text, kind);
  }
  if (!control) {
    complain("The label config has no control for it, and is not valid XML.");
    return;
  }
  touched = true;
  for (const each of added) text = addLabel(text, control, kind, each.name, model === "classifier" ? each.id : "");
  setConfig(text);
}

function drawLabels() {
  const begins = !touched && read.problem && "Add pictures: what is seen in them becomes labels here. Or write labels of your own.";
  const about = begins ? [begins] : [read.problem, ...read.warnings].filter(Boolean);
  $("config-problem").replaceChildren(
    ...about.map((each) => make("p", { class: each === read.problem ? "problem" : "note" }, each)),
  );
  $("write").hidden = project === null || read.problem !== "";
  const served = new Map(read.controls.map((each) => [each.control, each]));
  redraw($("controls"), ...read.coverage.map((coverage) => drawControl(coverage, served.get(coverage.control))));
  if ($("tree").open) drawTrees();
}

function drawControl(coverage, control) {
  const many = (read.coverage.length > 1 && make("h3", {}, coverage.control)) || "";
  if (!control) return make("div", { class: "control" }, many, ...coverage.labels.map((each) => drawUnreached(coverage, each)));
  const of = thresholds.get(control.control);
  const all = drawSlider(control.control, "all", control.threshold, (value) => {
    for (const label of of.keys()) of.set(label, value);
    for (const [input, output] of sliders) showValue(input, output, value);
    return () => setConfig(setAllThresholds(config, control.control, control.tag, String(value)));
  });
  const sliders = [];
  const rows = control.labels.map((label) => {
    const about = coverage.labels.find((each) => each.label === label.label);
    const isReached = !about || about.classes.length > 0 || about.below;
    const slider = drawSlider(`${control.control}\n${label.label}`, label.label, label.threshold, (value) => {
      of.set(label.label, value);
      return () => setConfig(setOfLabel(config, control.tag, label.path, "model_score_threshold", String(value)));
    });
    sliders.push([slider.input, slider.output]);
    const onclick = () => {
      touched = true;
      setConfig(removeLabel(config, control.tag, label.path));
    };
    const remove = make("button", { type: "button", class: "small", "aria-label": `Remove ${label.label}`, onclick }, "×");
    const swatch = make("i", { class: "swatch" });
    swatch.style.setProperty("--colour", label.colour);
    const count = make("small", { "data-key": `${control.control}\n${label.label}` });
    const row = make("li", { class: isReached ? "" : "wrong" }, swatch, slider.label, slider.input, slider.output, count, remove);
    if (!isReached) row.append(drawUnreached(coverage, about));
    return row;
  });
  const first = make("li", { class: "all" }, make("i"), all.label, all.input, all.output, make("small", {}, "shown"), "");
  return make("div", { class: "control" }, many, make("ul", { class: "labels" }, first, ...rows));
}

function drawSlider(name, text, value, onmove) {
  const id = `threshold-${encodeURIComponent(name)}`;
  const output = make("output", { for: id });
  let conclude = null;
  const input = make("input", {
    type: "range",
    id,
    min: 0,
    max: 1,
    step: 0.01,
    oninput: () => {
      const moved = Number(input.value);
      showValue(input, output, moved);
      conclude = onmove(moved);
      draw();
    },
    // The text of the label config follows when the slider is let go.
    onchange: () => {
      touched = true;
      conclude?.();
      drawMissed();
    },
  });
  showValue(input, output, value);
  return { label: make("label", { for: id }, text), input, output };
}

function showValue(input, output, value) {
  input.value = value;
  output.textContent = value.toFixed(2);
}

function drawUnreached(coverage, about) {
  const near = about.near.map((name) => {
    const onclick = () => {
      touched = true;
      setConfig(setOfLabel(config, coverage.tag, about.path, "predicted_values", name));
    };
    return make("button", { type: "button", class: "small", "aria-label": `Use ${name} for ${about.label}`, onclick }, name);
  });
  const start = `${about.label}: the ${coverage.model} has no such class. `;
  return make("span", { class: "unreached" }, make("span", { class: "bad" }, start), near.length ? "Near: " : "", ...near);
}

function drawMarks() {
  const unreached = read.coverage.flatMap((each) => each.labels).filter((each) => !each.classes.length && !each.below);
  const parts = marked(config, new Set(unreached.map((each) => each.path.at(-1))));
  $("marks").replaceChildren(...parts.map(([text, isMarked]) => (isMarked ? make("mark", {}, text) : text)), "\n");
  $("marks").scrollTop = $("config").scrollTop;
}

// ---- Classes ----

function drawTrees() {
  const trees = read.coverage.length ? read.coverage.map((each) => [each.model, each]) : models.map((each) => [each, null]);
  const open = new Set([...$("trees").querySelectorAll("details[open]")].map((each) => each.dataset.id));
  redraw(
    $("trees"),
    ...trees.flatMap(([model, coverage]) => {
      const found = (coverage?.labels ?? []).flatMap((of) => of.classes.map((each) => [each.mid || each.name, { ...each, label: of.label }]));
      const tree = drawTree(classes[model] ?? [], new Map(found), open, (name, id) => addClasses(model, [{ name, id }]));
      return trees.length > 1 ? [make("h3", {}, coverage?.control ?? model), tree] : [tree];
    }),
  );
  search();
}

function search() {
  const found = [...$("trees").querySelectorAll(":scope > ul")].map((tree) => searchTree(tree, $("search").value));
  $("search-count").textContent = $("search").value.trim() ? `${found.reduce((sum, each) => sum + each, 0)} found` : "";
}

// ---- The rest of the page ----

function tell(text) {
  $("progress").textContent = text;
}

function complain(text) {
  const close = make("button", { type: "button", class: "small", "aria-label": "Dismiss", onclick: () => line.remove() }, "×");
  const line = make("p", { class: "problem" }, `${text} `, close);
  $("problems").append(line);
  while ($("problems").children.length > 5) $("problems").firstChild.remove();
}

async function copy() {
  let done = true;
  try {
    await navigator.clipboard.writeText(config);
  } catch {
    $("config").select(); // without https, browsers have no clipboard for scripts
    done = document.execCommand("copy");
    if (done) $("copy").focus();
  }
  $("copied").textContent = done
    ? "Copied. In Label Studio: Settings, Labeling Interface, Code."
    : "The browser does not let a page copy: the text is selected, copy it with the keyboard.";
}

let typing = 0;
$("config").addEventListener("input", () => {
  touched = true;
  config = $("config").value;
  $("copied").textContent = "";
  drawMarks();
  clearTimeout(typing);
  typing = setTimeout(() => setConfig($("config").value, { force: true }), TYPING_MS);
});
$("config").addEventListener("scroll", drawMarks);
$("files").addEventListener("change", async () => {
  await addFiles($("files").files);
  $("files").value = "";
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    if (!event.dataTransfer.types.includes("Files")) return; // a text that is moved within the page
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") addFiles(event.dataTransfer.files);
  });
}
$("hidden-too").addEventListener("change", draw);
$("remove").addEventListener("click", removeCurrent);
$("tiles").addEventListener("change", () => {
  touched = true;
  setConfig(withTiles(config, Number($("tiles").value)));
});
$("compare").addEventListener("change", () => setConfig(config, { force: true }));
$("copy").addEventListener("click", copy);
$("search").addEventListener("input", search);
$("tree").addEventListener("toggle", () => $("tree").open && drawTrees());
/** Offer the names of the classes that the chosen model has. */
function suggest() {
  const known = classes[$("new-kind")?.value ?? models[0]] ?? [];
  $("class-names").replaceChildren(...known.map((each) => make("option", { value: each.name })));
}
$("new-kind")?.addEventListener("change", suggest);
$("add-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const name = $("new-label").value.trim();
  const model = $("new-kind")?.value ?? models[0];
  if (name) addClasses(model, [{ name, id: "" }]);
  $("new-label").value = "";
});
$("address-form")?.addEventListener("submit", async (event) => {
  event.preventDefault();
  await addFetched($("address").value.trim(), "try/address", { address: $("address").value.trim() });
});

/** Add a picture that the service fetches. */
async function addFetched(name, path, body) {
  tell(`Fetching ${name}…`);
  try {
    const file = await postForFile(path, body);
    await addFiles([new File([file], name)]);
  } catch (error) {
    complain(`${name}: ${error.message}`);
    tell("");
  }
}

classes = await get("try/classes").catch((error) => complain(error.message)) ?? {};
suggest();
await setConfig(config, { force: true });
if (page.projects) {
  await connectProjects({
    addFetched,
    complain,
    config: () => config,
    use: (chosen, text) => {
      project = chosen;
      touched = true;
      return setConfig(text, { force: true });
    },
  });
}
document.documentElement.dataset.ready = "yes";
