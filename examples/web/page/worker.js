// Holds the model, and answers one question after the other.

import "./files.js";
import init, { composeScene, drawScene, knownWords, loadModel, sceneKinds } from "./model.js";

const CACHE = "mllmseg-files";
const NOTICE = `This is the tiny model, and it runs in this page: no picture leaves your machine. It knows coloured shapes in
  drawn scenes, their sizes, places, orders and relations: "the red star", "all the yellow triangles". It knows nothing of photographs.`;

// The number of the question that is being answered.
let current = null;
self.tellStage = (stage) => self.postMessage({ number: current, stage });

const isProgram = ({ path }) => path.endsWith(".wasm");

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

// The files of the checkpoint by their names; the model reads them part by part.
const held = new Map();
self.readFile = (name, start, length) => {
  try {
    return new Uint8Array(new FileReaderSync().readAsArrayBuffer(held.get(name).slice(start, start + length)));
  } catch (error) {
    throw error.message;
  }
};

async function load(own) {
  if (!self.isSecureContext) throw new Error("the browser only lets pages over https or from localhost check and keep files; open this one so");
  // Of the model of another folder, only the program is needed from here.
  const files = self.FILES.files.filter((file) => !own || isProgram(file));
  const cache = await caches.open(CACHE);
  const megabytes = (count) => (count / 1e6).toFixed(1);
  const total = files.reduce((sum, file) => sum + file.bytes, 0);
  let arrived = 0;
  const onBytes = (count) => self.tellStage(`${megabytes((arrived += count))} of ${megabytes(total)} MB`);
  const contents = await Promise.all(files.map((file) => read(file, cache, onBytes)));
  const digests = self.FILES.files.map((file) => `?${file.sha256}`);
  for (const old of await cache.keys()) {
    if (!digests.includes(new URL(old.url).search)) await cache.delete(old);
  }
  await init({ module_or_path: contents[files.findIndex(isProgram)] });
  own?.files.forEach((file) => held.set(file.name, file));
  if (!own) files.forEach((file, index) => isProgram(file) || held.set(file.path.split("/").pop(), new Blob([contents[index]])));
  self.tellStage("the weights");
  const name = own?.name ?? "model";
  try {
    return loadModel(name, JSON.stringify(Object.fromEntries([...held].map(([name, file]) => [name, file.size]))));
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw new Error(`${name}: the browser stopped the load, most likely for want of memory`);
    throw error;
  }
}

// The question whose picture the model holds.
let opened = null;

const tasks = {
  info(model, { own }) {
    const device = "this machine, in the browser";
    if (!own) return { model: "the tiny model", device, notice: NOTICE, words: knownWords() };
    const notes = model.notes();
    const notice = `The model of ${own.name} runs in this page: no picture leaves your machine. ${notes && `Of it: ${notes}.`}`;
    return { model: own.name, device, notice, words: [] };
  },
  open(model, { number, file }) {
    opened = null;
    const size = JSON.parse(model.encode(file));
    opened = number;
    return { image_id: number, cached: false, ...size };
  },
  ask: (model, { expressions, format }) => JSON.parse(model.segment(expressions, format)),
  maps: (model, { ofDecoder }) => JSON.parse(model.maps(ofDecoder)),
  draw: (_, { scene }) => new Blob([drawScene(scene)], { type: "image/png" }),
  kinds: () => JSON.parse(sceneKinds()),
  compose: (_, { objects }) => new Blob([composeScene(JSON.stringify(objects))], { type: "image/png" }),
  alter(model, { alteration }) {
    opened = null;
    model.alter(JSON.stringify(alteration));
  },
  probabilities: (model, { expression }) => model.probabilities(expression),
};

async function answer(loading, own, data) {
  const { number, task, id } = data;
  current = number;
  let model = null;
  try {
    const file = data.file && new Uint8Array(await data.file.arrayBuffer());
    model = await loading;
    current = number;
    if (id !== undefined && id !== opened) throw Object.assign(new Error("the model holds another picture"), { code: "IMAGE_NOT_FOUND" });
    self.postMessage({ number, result: tasks[task](model, { ...data, file, own }) });
  } catch (error) {
    // After a trap, or without its files, there is no model in this worker.
    const dead = !model || error instanceof WebAssembly.RuntimeError;
    self.postMessage({ number, error: { message: error.message, code: error.code }, dead });
  }
}

// The first message says which model.
self.onmessage = ({ data: { own } }) => {
  const loading = load(own);
  loading.catch(() => {}); // each question is told
  self.onmessage = ({ data }) => answer(loading, own, data);
};
