// Requests to the service, and its errors in words.

const STORED = "splade-anserini-key";

let key = sessionStorage.getItem(STORED) ?? "";

export const hasKey = () => key !== "";

export function setKey(value) {
  key = value.trim();
  sessionStorage.setItem(STORED, key);
}

export class ServiceError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** Returns {values, stages, milliseconds}: the answer, the server's time by stage, and the time until it was here. */
export async function ask(path, body = null, signal = undefined) {
  const start = performance.now();
  const headers = { Accept: "application/json" };
  if (key) headers["X-API-Key"] = key;
  const options = { headers, signal, cache: "no-store", credentials: "omit" };
  if (body) {
    options.method = "POST";
    options.body = JSON.stringify(body);
    headers["Content-Type"] = "application/json";
  }
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service cannot be reached. It may have ended, or the network is down.", 0);
  }
  let values = null;
  try {
    values = await answer.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!answer.ok) throw new ServiceError(problem(answer, values), answer.status);
  if (values === null) throw new ServiceError("The service gave an answer that cannot be read.", answer.status);
  return {
    values,
    stages: stages(answer.headers.get("Server-Timing") ?? ""),
    milliseconds: performance.now() - start,
  };
}

function problem(answer, values) {
  const message = values?.error?.message ?? "";
  // What does not answer has a name, of use to whoever runs the service.
  if (values?.error?.type === "missing_shards") return message;
  if (answer.status === 503) {
    const seconds = Number(answer.headers.get("Retry-After"));
    const when = seconds > 0 ? `in ${seconds} second${seconds === 1 ? "" : "s"}` : "in a moment";
    return `The service is busy, or is about to end. Try again ${when}.`;
  }
  if (answer.status === 504) return "The search took longer than the service allows. Try again, or try a shorter query.";
  if (answer.status === 500) return "The search failed inside the service. Its log says why.";
  return message || `The service answered with the status ${answer.status}.`;
}

/** Returns [name, milliseconds] of each stage in a header such as "encode;dur=5.3, search;dur=1.2". */
function stages(header) {
  return [...header.matchAll(/([\w-]+);dur=([\d.]+)/g)].map(([, name, value]) => [name, Number(value)]);
}
