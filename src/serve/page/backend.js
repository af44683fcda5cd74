// What the page asks of a model. This one asks the server that the page came from; another could hold the
// model in the browser. Both have: info(), open(file, onStage), ask(id, expressions, onStage, format), maps(id).

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

// COCO's compressed run lengths as bytes 0 and 1, row by row.
export function decodeMask({ size: [height, width], counts }) {
  const runs = [];
  for (let place = 0; place < counts.length; ) {
    let run = 0, shift = 0, bits;
    do {
      bits = counts.charCodeAt(place++) - 48;
      run |= (bits & 31) << shift;
      shift += 5;
    } while (bits & 32);
    if (bits & 16 && shift < 32) run |= -1 << shift;
    runs.push(runs.length > 2 ? run + runs[runs.length - 2] : run);
  }
  const mask = new Uint8Array(width * height);
  let position = 0;
  runs.forEach((run, index) => {
    for (const end = position + run; position < end; position++) {
      if (index % 2) mask[(position % height) * width + Math.floor(position / height)] = 1;
    }
  });
  return mask;
}
