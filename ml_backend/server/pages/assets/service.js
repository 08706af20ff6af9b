// Requests to the service. Addresses are relative to the page, since a proxy may serve it below a path.

/** An answer that says no, with its code and a sentence. */
export class Refusal extends Error {
  constructor(status, code, message) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

async function ask(path, options) {
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

/** Get JSON. */
export async function get(path) {
  return (await ask(path, {})).json();
}

/** Post JSON, and get JSON. */
export async function post(path, body) {
  return (await ask(path, json(body))).json();
}

/** Post JSON, and get a file. */
export async function postForFile(path, body) {
  return (await ask(path, json(body))).blob();
}

/** Post a file, and get JSON. */
export async function postFile(path, file) {
  return (await ask(path, { method: "POST", body: file, headers: { "Content-Type": "application/octet-stream" } })).json();
}

function json(body) {
  return { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } };
}
