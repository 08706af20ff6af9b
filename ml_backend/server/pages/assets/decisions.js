// Decides by thresholds, as ml_backend/postprocessing does. The service has made all other decisions (open_decisions.py).

const float32 = Math.fround; // as scores and boxes are: a threshold of 0.7 shows a score of 0.7

/** Write a score with two decimals as Python does, which rounds 0.125 and 0.625 to the even one. */
export function shownScore(score) {
  return (score % 0.5 === 0.125 ? score - 0.001 : score).toFixed(2);
}

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
  if (detection.score >= float32(threshold)) return { ...detection };
  const needed = threshold <= 1 ? `below ${shownScore(threshold)}` : "no score is high enough";
  const reason = `${needed} (${shownScore(detection.score)})${detection.sure}`;
  return { ...detection, fate: "below the threshold", reason };
}

function byScore(decided) {
  return decided.filter((each) => each.fate === "kept").sort((one, other) => other.score - one.score);
}

function suppress(decided, highest) {
  const winners = [];
  for (const each of byScore(decided)) {
    const winner = winners.find((better) => iou(better.box, each.box) > float32(highest));
    if (winner === undefined) {
      winners.push(each);
    } else {
      each.fate = "suppressed";
      each.reason = `suppressed by #${winner.number} (${winner.label}, IoU ${shownScore(iou(winner.box, each.box))})`;
    }
  }
}

function limit(decided, most) {
  for (const each of byScore(decided).slice(most)) {
    each.fate = "over the limit";
    each.reason = `over the limit of ${most} regions`;
  }
}

function iou(one, other) {
  const common = area([0, 1].map((side) => Math.max(one[side], other[side])).concat([2, 3].map((side) => Math.min(one[side], other[side]))));
  const union = float32(float32(area(one) + area(other)) - common);
  return union > 0 ? float32(common / union) : 0;
}

function area([top, left, bottom, right]) {
  return float32(Math.max(0, float32(bottom - top)) * Math.max(0, float32(right - left)));
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
    if (each.score >= float32(threshold)) return { ...each, reason: `${each.choice} ${shownScore(each.score)}` };
    return { ...each, fate: "below the threshold", reason: `below ${shownScore(threshold)} (${shownScore(each.score)})` };
  });
  if (found.taxonomy) choosePaths(decided, found);
  else if (!found.multiple) chooseOne(decided.filter((each) => each.fate === "kept"));
  return decided;
}

function chooseOne(kept) {
  const best = kept.reduce((one, other) => (one === null || other.score > one.score ? other : one), null);
  for (const each of kept.filter((each) => each !== best)) {
    each.fate = "not the highest";
    each.reason = `${best.choice} is higher (${shownScore(best.score)})`;
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
  const described = (each) => wayTo(each.path).map((path) => `${path.at(-1)} ${shownScore(scores.get(key(path)))}`);
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
