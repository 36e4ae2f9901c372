// Requests to the server. An error is a sentence, and may say when to come back.

export class Refused extends Error {
  constructor(message, retryAfter) {
    super(message);
    this.retryAfter = retryAfter; // seconds; undefined: the same request will fail again
  }
}

let key = "";
export function useKey(value) {
  key = value.trim();
}

async function answerOf(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refused("The server cannot be reached.", 5);
  }
  let answer = null;
  try {
    answer = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (response.ok && answer !== null) return answer;
  const after = Number(response.headers.get("retry-after")) || undefined;
  throw new Refused(answer?.error ?? `The server answered with status ${response.status}.`, after);
}

export function get(path) {
  return answerOf(path, {});
}

export function post(path, fields, signal) {
  return answerOf(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(key ? { ...fields, api_key: key } : fields),
    signal,
  });
}

export function postFile(path, fields, signal) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) form.append(name, value);
  if (key) form.append("api_key", key);
  return answerOf(path, { method: "POST", body: form, signal });
}
