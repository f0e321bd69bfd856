// Asks the JSON interface; everything is a GET of the same origin.

export class Problem extends Error {
  constructor(kind, message, status) {
    super(message);
    this.kind = kind;
    this.status = status;
  }
}

export function query(parameters) {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== null && one !== undefined && one !== "") found.append(name, one);
    }
  }
  return found.toString();
}

export async function ask(name, parameters = {}, signal = undefined) {
  let response;
  try {
    response = await fetch(`api/${name}?${query(parameters)}`, { signal, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("Unreachable", "aurora-es ui does not answer: has it ended?", 0);
  }
  const answer = await response.json();
  if (!response.ok) throw new Problem(answer.error.kind, answer.error.message, response.status);
  return answer;
}

export function follow(parameters) {
  return new EventSource(`api/live?${query(parameters)}`);
}
