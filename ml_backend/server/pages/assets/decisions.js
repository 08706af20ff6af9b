// Decides by thresholds, as ml_backend/postprocessing does. The service has made all other decisions (open_decisions.py).

const asScore = Math.fround; // scores are float32: a threshold of 0.7 shows a score of 0.7

/**
 * Decide on the detections of one control.
 * @param {object} found - the control's part of the answer of /try/decisions
 * @param {object} control - its description; undefined for a config that is not served
 * @param {Map<string, number>} thresholds - by label
 * @returns {object[]} the detections, each with fate and reason
 */
export function decideBoxes(found, control, thresholds) {
  const decided = found.detections.map((each) => decideAlone(each, thresholds));
  if (control?.across_labels) suppress(decided, control.iou);
  if (control?.max_regions != null) limit(decided, control.max_regions);
  return decided;
}

function decideAlone(detection, thresholds) {
  if (!detection.label || ["skipped", "outside the picture"].includes(detection.fate)) return { ...detection };
  const threshold = Math.max(thresholds.get(detection.label) ?? 0, detection.lowest);
  if (detection.score >= asScore(threshold)) return { ...detection };
  const needed = threshold <= 1 ? `below ${threshold.toFixed(2)}` : "no score is high enough";
  const reason = `${needed} (${detection.score.toFixed(2)})${detection.sure}`;
  return { ...detection, fate: "below the threshold", reason };
}

function byScore(decided) {
  return decided.filter((each) => each.fate === "kept").sort((one, other) => other.score - one.score);
}

function suppress(decided, highest) {
  const winners = [];
  for (const each of byScore(decided)) {
    const winner = winners.find((better) => iou(better.box, each.box) > highest);
    if (winner === undefined) {
      winners.push(each);
    } else {
      each.fate = "suppressed";
      each.reason = `suppressed by #${winner.number} (${winner.label}, IoU ${iou(winner.box, each.box).toFixed(2)})`;
    }
  }
}

function limit(decided, most) {
  for (const each of byScore(decided).slice(most)) {
    each.fate = "over the limit";
    each.reason = `over the limit of ${most} regions`;
  }
}

function iou([top, left, bottom, right], [otherTop, otherLeft, otherBottom, otherRight]) {
  const height = Math.min(bottom, otherBottom) - Math.max(top, otherTop);
  const width = Math.min(right, otherRight) - Math.max(left, otherLeft);
  if (height <= 0 || width <= 0) return 0;
  const both = height * width;
  const all = (bottom - top) * (right - left) + (otherBottom - otherTop) * (otherRight - otherLeft) - both;
  return both / all;
}

/**
 * Decide on the choices of one control.
 * @param {object} found - the control's part of the answer of /try/decisions
 * @param {Map<string, number>} thresholds - by choice
 * @returns {object[]} the choices, each with fate and reason
 */
export function decideChoices(found, thresholds) {
  const decided = found.choices.map((each) => {
    const threshold = thresholds.get(each.choice) ?? 0;
    if (each.fate !== "kept") return { ...each };
    if (each.score >= asScore(threshold)) return { ...each, reason: `${each.choice} ${each.score.toFixed(2)}` };
    return { ...each, fate: "below the threshold", reason: `below ${threshold.toFixed(2)} (${each.score.toFixed(2)})` };
  });
  if (found.taxonomy) choosePaths(decided, found);
  else if (!found.multiple) chooseOne(decided.filter((each) => each.fate === "kept"));
  return decided;
}

function chooseOne(kept) {
  const best = kept.reduce((one, other) => (one === null || other.score > one.score ? other : one), null);
  for (const each of kept.filter((each) => each !== best)) {
    each.fate = "not the highest";
    each.reason = `${best.choice} is higher (${best.score.toFixed(2)})`;
  }
}

const key = (path) => JSON.stringify(path);

// Whole paths, as deep as scores allow: one of a classifier, several of detections.
function choosePaths(decided, found) {
  const scores = new Map(decided.map((each) => [key(each.path), each.score]));
  const kept = decided.filter((each) => each.fate === "kept");
  const goesOn = new Set(kept.map((each) => key(each.path.slice(0, -1))));
  const wayTo = (path) => path.map((_, index) => path.slice(0, index + 1));
  const scoresTo = (each) => wayTo(each.path).map((path) => scores.get(key(path)));
  const described = (each) => wayTo(each.path).map((path) => `${path.at(-1)} ${scores.get(key(path)).toFixed(2)}`);
  let ends = kept.filter((each) => !goesOn.has(key(each.path)) && (each.leaf || !found.leaves_only));
  if (found.one_path && ends.length) {
    ends = [ends.reduce((one, other) => (isHigher(scoresTo(other), scoresTo(one)) ? other : one))];
  }
  ends = ends.toSorted((one, other) => other.score - one.score).slice(0, found.max_usages ?? undefined);
  const chosen = ends.map((each) => described(each).join(" / ")).join(" and ");
  for (const each of kept) {
    const below = ends.filter((end) => end !== each && key(end.path.slice(0, each.path.length)) === key(each.path));
    if (below.length) {
      each.fate = "part of another";
      each.reason = `the path goes on to ${below.map((end) => end.choice).join(" and ")}`;
    } else if (!ends.length) {
      each.fate = "not a leaf";
      each.reason = 'leafsOnly="true", and no choice below it reaches its threshold';
    } else if (!ends.includes(each)) {
      each.fate = "not the highest";
      each.reason = `another path is chosen: ${chosen}`;
    }
  }
}

function isHigher(one, other) {
  for (let index = 0; index < Math.min(one.length, other.length); index += 1) {
    if (one[index] !== other[index]) return one[index] > other[index];
  }
  return one.length > other.length;
}
