// Edits a label config as a text. Each function returns the new text, or the old one where it cannot be read as XML.

function edited(text, edit) {
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  if (parsed.querySelector("parsererror")) return text;
  edit(parsed);
  return new XMLSerializer().serializeToString(parsed);
}

function tagOf(parsed, name) {
  return [...parsed.getElementsByTagName("*")].find((each) => each.getAttribute("name") === name);
}

function labelsOf(tag) {
  return [...(tag?.getElementsByTagName("*") ?? [])].filter((each) => /^(label|choice)$/i.test(each.localName));
}

const nameOf = (label) => label.getAttribute("alias") || label.getAttribute("value") || "";

// The names on the way to a label from its control: several in a tree of choices.
function pathOf(label, labels) {
  const path = [];
  for (let at = label; at; at = at.parentElement) if (labels.includes(at)) path.unshift(nameOf(at));
  return JSON.stringify(path);
}

function labelOf(tag, path) {
  const labels = labelsOf(tag);
  return labels.find((each) => pathOf(each, labels) === JSON.stringify(path));
}

/** Return the text without thresholds that can be used: two configs with the same have the same decisions before thresholds. */
export function withoutThresholds(text) {
  return text.replaceAll(/\s+model_score_threshold\s*=\s*(["'])(?:0?\.\d+|[01](?:\.0*)?)\1/g, "");
}

/** Set an attribute of the control tag with a name; null removes it. */
export function setOfControl(text, name, attribute, value) {
  return edited(text, (parsed) => setAttribute(tagOf(parsed, name), attribute, value));
}

/** Set an attribute of a label, which is found by the names on the way to it; null removes it. */
export function setOfLabel(text, name, path, attribute, value) {
  return edited(text, (parsed) => setAttribute(labelOf(tagOf(parsed, name), path), attribute, value));
}

function setAttribute(tag, attribute, value) {
  if (value === null) tag?.removeAttribute(attribute);
  else tag?.setAttribute(attribute, value);
}

/** Set one threshold for all labels of a control; of a pair of tags, that which draws has the say. */
export function setAllThresholds(text, drawing, labelling, value) {
  return edited(text, (parsed) => {
    setAttribute(tagOf(parsed, drawing), "model_score_threshold", value);
    for (const each of labelsOf(tagOf(parsed, labelling))) each.removeAttribute("model_score_threshold");
  });
}

/** Return the names of the control tags that can take labels: of boxes, or of choices. */
export function controlsIn(text, kind) {
  const parsed = new DOMParser().parseFromString(text, "application/xml");
  const tags = kind === "label" ? ["RectangleLabels", "Labels"] : ["Choices", "Taxonomy"];
  return [...parsed.getElementsByTagName("*")]
    .filter((each) => tags.includes(each.localName) && each.hasAttribute("name"))
    .map((each) => each.getAttribute("name"));
}

/** Add a label or choice to a control; with the classes that it stands for, where its name does not say so. */
export function addLabel(text, name, kind, value, classes = "") {
  return edited(text, (parsed) => {
    const tag = tagOf(parsed, name);
    if (!tag || labelsOf(tag).some((each) => [each.getAttribute("value"), nameOf(each)].includes(value))) return;
    const label = parsed.createElement(kind === "label" ? "Label" : "Choice");
    label.setAttribute("value", value);
    if (classes) label.setAttribute("predicted_values", classes);
    const closing = spaceAt(tag.lastChild) || spaceAt(tag.previousSibling) || "\n";
    const indent = spaceAt(tag.lastElementChild?.previousSibling) || `${closing}  `;
    if (spaceAt(tag.lastChild)) tag.lastChild.remove();
    tag.append(indent, label, closing);
  });
}

// The line break and the indent in a text between two tags.
function spaceAt(node) {
  return node?.nodeType === Node.TEXT_NODE && !node.data.trim() ? node.data.replace(/^[^]*\n/, "\n") : "";
}

/** Remove a label or choice. */
export function removeLabel(text, name, path) {
  return edited(text, (parsed) => {
    const label = labelOf(tagOf(parsed, name), path);
    if (label?.previousSibling?.nodeType === Node.TEXT_NODE) label.previousSibling.remove();
    label?.remove();
  });
}

/** Return the text in parts, each with whether it names one of some labels, for marking them. */
export function marked(text, names) {
  const parts = [];
  let from = 0;
  for (const found of text.matchAll(/(?:value|alias)\s*=\s*(?:"([^"]*)"|'([^']*)')/g)) {
    if (!names.has(unescaped(found[1] ?? found[2]))) continue;
    parts.push([text.slice(from, found.index), false], [found[0], true]);
    from = found.index + found[0].length;
  }
  parts.push([text.slice(from), false]);
  return parts;
}

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

function unescaped(text) {
  return text.replaceAll(/&(amp|lt|gt|quot|apos);/g, (_, name) => ENTITIES[name]);
}
