// The classes of the models as a tree that can be searched, each with its label and the reason, or a button that adds it.

import { make } from "./picture_view.js";

const RULES = {
  predicted_values: "by predicted_values",
  corrections: "by corrections",
  name: "by its name",
  synonym: "by a synonym",
};

/**
 * Draw the tree of one model.
 * @param {object[]} classes - id, name, parent (an id, or empty), output
 * @param {Map<string, object>} assigned - label, rule and ancestor by id of the class
 * @param {Set<string>} open - ids of the classes that are open
 * @param {(name: string, id: string) => void} add - adds a class as a label
 * @returns {HTMLElement}
 */
export function drawTree(classes, assigned, open, add) {
  const below = Map.groupBy(classes, (each) => each.parent);
  const branch = (parent) =>
    make(
      "ul",
      {},
      ...(below.get(parent) ?? [])
        .toSorted((one, other) => one.name.localeCompare(other.name))
        .map((each) => {
          const found = assigned.get(each.id);
          const item = make("li", { "data-text": `${each.name} ${found?.label ?? ""}`.toLowerCase() });
          if (!found) item.append(adder(each, add), " ");
          if (below.has(each.id)) item.append(make("details", { "data-id": each.id, open: open.has(each.id) }, make("summary", {}, ...lineOf(each, found)), branch(each.id)));
          else item.append(...lineOf(each, found));
          return item;
        }),
    );
  return branch("");
}

function lineOf(known, found) {
  if (!found) return [known.name];
  const why = found.ancestor ? `under ${found.ancestor}` : RULES[found.rule];
  return [`${known.name} `, make("b", {}, `→ ${found.label}`), " ", make("small", {}, why)];
}

function adder(known, add) {
  const onclick = () => add(known.name, known.id);
  return make("button", { type: "button", class: "small", "aria-label": `Add ${known.name}`, onclick }, "Add");
}

/** Show the classes whose name or label has a text in it, with those above them; returns their number. */
export function searchTree(tree, text) {
  const wanted = text.trim().toLowerCase();
  const searched = tree.dataset.searched ?? "";
  tree.dataset.searched = wanted;
  let count = 0;
  const visit = (item) => {
    const hit = wanted !== "" && item.dataset.text.includes(wanted);
    count += hit;
    const inside = [...(item.querySelector(":scope > details > ul")?.children ?? [])].map(visit).includes(true);
    item.hidden = wanted !== "" && !hit && !inside;
    const details = item.querySelector(":scope > details");
    if (details && (wanted || searched)) details.open = inside;
    return hit || inside;
  };
  for (const item of tree.children) visit(item);
  return count;
}
