// Requests to the service. Addresses are relative to the page, since a proxy may serve it below a path.

/** An answer that says no, with its code and a sentence. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

let asking = 0;

// While requests run, the page says so (try.css).
function count(more) {
  asking += more;
  document.documentElement.toggleAttribute("data-asking", asking > 0);
}

async function ask(path, options, read) {
  count(1);
  try {
    return await read(await answerOf(path, options));
  } finally {
    count(-1);
  }
}

async function answerOf(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refusal(0, "no_answer", "Prelabel does not answer. Is it still running?");
  }
  if (answer.ok) return answer;
  const told = await answer.json().catch(() => null);
  const { code = "", message = `status ${answer.status}` } = told?.error ?? {};
  throw new Refusal(answer.status, code, message);
}

const asJson = (answer) => answer.json();

/** Get JSON. */
export const get = (path) => ask(path, {}, asJson);

/** Post JSON, and get JSON. */
export const post = (path, body) => ask(path, json(body), asJson);

/** Post JSON, and get a file. */
export const postForFile = (path, body) => ask(path, json(body), (answer) => answer.blob());

/** Post the bytes of a file, and get JSON. */
export function postFile(path, bytes) {
  return ask(path, { method: "POST", body: bytes, headers: { "Content-Type": "application/octet-stream" } }, asJson);
}

function json(body) {
  return { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}
