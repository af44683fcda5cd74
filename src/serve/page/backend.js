// What the page asks of a model. This one asks the server that the page came from; examples/web has another, which
// holds the model in the browser. Both have: info(onStage), open(file, onStage), ask(id, expressions, onStage, format),
// maps(id). The other also has draw(), compose() and load(): buttons that need one are hidden without it. And it has gpu (a
// promise of a name or null), onGpu() and compute(onGpu).

async function fail(response) {
  const body = await response.json().catch(() => ({}));
  const error = new Error(body.error?.message ?? `the server answered ${response.status}`);
  error.code = body.error?.code;
  throw error;
}

// Reads server-sent events up to the result.
async function events(response, onStage) {
  if (!response.ok) await fail(response);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new Error("the connection ended before the answer; try again");
    text += value;
    const blocks = text.split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const field = (name) => block.split("\n").find((line) => line.startsWith(name + ": "))?.slice(name.length + 2);
      const name = field("event");
      if (!name) continue;
      const data = JSON.parse(field("data"));
      if (name === "stage") onStage(data.stage);
      if (name === "result") return data;
      if (name === "error") throw Object.assign(new Error(data.error.message), { code: data.error.code });
    }
  }
}

async function post(path, body, type, onStage) {
  let response;
  try {
    response = await fetch(path, { method: "POST", body, headers: { "Content-Type": type, Accept: "text/event-stream" } });
  } catch {
    throw new Error("the server cannot be reached; is it still running?");
  }
  return events(response, onStage);
}

const json = "application/json";

export const backend = {
  async info() {
    const response = await fetch("/v1/info");
    return response.ok ? response.json() : fail(response);
  },
  open(file, onStage) {
    return post("/v1/images", file, "application/octet-stream", onStage);
  },
  ask(id, expressions, onStage, format = "rle") {
    return post(`/v1/images/${id}/segment`, JSON.stringify({ expressions, format }), json, onStage);
  },
  async maps(id) {
    const response = await fetch(`/v1/images/${id}/maps`);
    return response.ok ? response.json() : fail(response);
  },
};
