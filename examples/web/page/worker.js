// Holds the model, and answers one question after the other.

import "./files.js";
import init, { Checkpoint, drawScene, knownWords } from "./model.js";

const CACHE = "mllmseg-files";
const NOTICE = `This is the tiny model, and it runs in this page: no picture leaves your machine. It knows coloured shapes in
  drawn scenes, their sizes, places, orders and relations: "the red star", "all the yellow triangles". It knows nothing of photographs.`;

// The number of the question that is being answered.
let current = null;
self.tellStage = (stage) => self.postMessage({ number: current, stage });

async function digest(bytes) {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

// The bytes of a file of the page, from the browser's cache or the network, checked.
async function read({ path, bytes, sha256 }, cache, onBytes) {
  // The query keeps a copy of an older version from being taken for this file.
  const address = new URL(`../${path}?${sha256}`, import.meta.url);
  const kept = await (await cache.match(address))?.arrayBuffer();
  if (kept && (await digest(kept)) === sha256) {
    onBytes(bytes);
    return new Uint8Array(kept);
  }
  const response = await fetch(address, { cache: "no-cache" });
  if (!response.ok) throw new Error(`${path}: the server answered ${response.status}; reload the page`);
  const content = new Uint8Array(bytes);
  let length = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { value, done } = await reader.read();
    if (done) break;
    if (length + value.length > bytes) throw new Error(`${path}: expected ${bytes} bytes, found more; reload the page`);
    content.set(value, length);
    length += value.length;
    onBytes(value.length);
  }
  const found = await digest(content.subarray(0, length));
  if (found !== sha256) throw new Error(`${path}: expected SHA-256 ${sha256}, found ${found} of ${length} bytes; reload the page`);
  await cache.put(address, new Response(content)).catch(() => {}); // a full disk only costs the next visit
  return content;
}

async function load() {
  if (!self.isSecureContext) throw new Error("the browser only lets pages over https or from localhost check and keep files; open this one so");
  const { files } = self.FILES;
  const cache = await caches.open(CACHE);
  const megabytes = (count) => (count / 1e6).toFixed(1);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let arrived = 0;
  const onBytes = (count) => self.tellStage(`${megabytes((arrived += count))} of ${megabytes(total)} MB`);
  const contents = await Promise.all(files.map((file) => read(file, cache, onBytes)));
  const digests = files.map((file) => `?${file.sha256}`);
  for (const old of await cache.keys()) {
    if (!digests.includes(new URL(old.url).search)) await cache.delete(old);
  }
  const wasm = files.findIndex((file) => file.path.endsWith(".wasm"));
  await init({ module_or_path: contents[wasm] });
  const checkpoint = new Checkpoint();
  files.forEach((file, index) => index !== wasm && checkpoint.add(file.path.split("/").pop(), contents[index]));
  return checkpoint.load();
}

const loading = load();
// The question whose picture the model holds.
let opened = null;

const tasks = {
  info: () => ({ model: "the tiny model", device: "this machine, in the browser", notice: NOTICE, words: knownWords() }),
  open(model, { number, file }) {
    opened = null;
    const size = JSON.parse(model.encode(file));
    opened = number;
    return { image_id: number, cached: false, ...size };
  },
  ask: (model, { expressions, format }) => JSON.parse(model.segment(expressions, format)),
  maps: (model) => JSON.parse(model.maps()),
  draw: (_, { scene }) => new Blob([drawScene(scene)], { type: "image/png" }),
  probabilities: (model, { expression }) => model.probabilities(expression),
};

self.onmessage = async ({ data }) => {
  const { number, task, id } = data;
  current = number;
  let model = null;
  try {
    const file = data.file && new Uint8Array(await data.file.arrayBuffer());
    model = await loading;
    current = number;
    if (id !== undefined && id !== opened) throw Object.assign(new Error("the model holds another picture"), { code: "IMAGE_NOT_FOUND" });
    self.postMessage({ number, result: tasks[task](model, { ...data, file }) });
  } catch (error) {
    // After a trap, or without its files, there is no model in this worker.
    const dead = !model || error instanceof WebAssembly.RuntimeError;
    self.postMessage({ number, error: { message: error.message, code: error.code }, dead });
  }
};
