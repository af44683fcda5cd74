// Holds the model, and answers one question after the other.

import "./files.js";

const CACHE = "mllmseg-files";
const NOTICE = `This is the tiny model, and it runs in this page: no picture leaves your machine. It knows coloured shapes in
  drawn scenes, their sizes, places, orders and relations: "the red star", "all the yellow triangles". It knows nothing of photographs.`;

// The number of the question that is being answered.
let current = null;
self.tellStage = (stage) => self.postMessage({ number: current, stage });

// Why the program panicked, if it has.
let panic = null;
self.tellPanic = (message) => {
  console.error(message);
  panic = message.split("\n").slice(1).join(" ");
};

// What is compiled for one kind of device; that for the GPU is fetched when it is asked for.
let program = null;
const isProgram = ({ device }) => Boolean(device);

// Many file servers do not compress, so the program travels in gzip. (A name in .gz, some would unpack.)
const unpacked = (bytes) => new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")), { headers: { "Content-Type": "application/wasm" } });

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

// What the browser says of its GPU, where it gives one to a worker.
async function nameOfGpu() {
  const adapter = await navigator.gpu?.requestAdapter();
  if (!adapter) return null;
  const { vendor, architecture, description } = adapter.info;
  return description || [vendor, architecture].filter(Boolean).join(" ") || "a GPU";
}

async function load(own, onGpu) {
  if (!self.isSecureContext) throw new Error("the browser only lets pages over https or from localhost check and keep files; open this one so");
  const wanted = onGpu ? "gpu" : "cpu";
  // Of the model of another folder, only the program is needed from here.
  const files = self.FILES.files.filter((file) => (isProgram(file) ? file.device === wanted : !own));
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
  program = await import(`./${wanted}.js`);
  const { __wasm_call_ctors: construct } = await program.default({ module_or_path: unpacked(contents[files.findIndex(isProgram)]) });
  construct();
  const place = await program.findPlace();
  own?.files.forEach((file) => held.set(file.name, file));
  if (!own) files.forEach((file, index) => isProgram(file) || held.set(file.path.split("/").pop(), new Blob([contents[index]])));
  self.tellStage("the weights");
  const folder = own?.name ?? "model";
  try {
    return program.loadModel(folder, JSON.stringify(Object.fromEntries([...held].map(([name, file]) => [name, file.size]))), place);
  } catch (error) {
    if (error instanceof WebAssembly.RuntimeError) throw new Error(`${folder}: ${panic ?? "the browser stopped the load, most likely for want of memory"}`);
    throw error;
  }
}

// The question whose picture the model holds.
let opened = null;

const tasks = {
  async info(model, { own, gpu }) {
    const device = `${gpu ? `WebGPU (${await gpu})` : "the CPU"}, in the browser`;
    if (!own) return { model: "the tiny model", device, notice: NOTICE, words: program.knownWords() };
    const notes = model.notes();
    const notice = `The model of ${own.name} runs in this page: no picture leaves your machine. ${notes && `Of it: ${notes}.`}`;
    return { model: own.name, device, notice, words: [] };
  },
  async open(model, { number, file }) {
    opened = null;
    const size = JSON.parse(model.encode(file));
    await model.wait();
    opened = number;
    return { image_id: number, cached: false, ...size };
  },
  ask: async (model, { expressions, format }) => JSON.parse(await model.segment(expressions, format)),
  maps: async (model, { ofDecoder }) => JSON.parse(await model.maps(ofDecoder)),
  draw: (_, { scene }) => new Blob([program.drawScene(scene)], { type: "image/png" }),
  kinds: () => JSON.parse(program.sceneKinds()),
  compose: (_, { objects }) => new Blob([program.composeScene(JSON.stringify(objects))], { type: "image/png" }),
  alter(model, { alteration }) {
    opened = null;
    model.alter(JSON.stringify(alteration));
  },
  probabilities: (model, { expression }) => model.probabilities(expression),
};

// After a trap, on a lost GPU or without its files, there is no model in this worker.
function fail(error, isDead) {
  const isLost = error.name === "DeviceLost";
  if (isLost) console.warn(error.message);
  const message = panic ?? (isLost ? "the device was lost" : error.message);
  const dead = isDead || isLost || error instanceof WebAssembly.RuntimeError;
  self.postMessage({ number: current, error: { message, code: error.code }, dead });
}

async function answer(loading, data, about) {
  const { number, task, id } = data;
  current = number;
  let model = null;
  try {
    const file = data.file && new Uint8Array(await data.file.arrayBuffer());
    model = await loading;
    if (id !== undefined && id !== opened) throw Object.assign(new Error("the model holds another picture"), { code: "IMAGE_NOT_FOUND" });
    self.postMessage({ number, result: await tasks[task](model, { ...data, ...about, file }) });
  } catch (error) {
    fail(error, !model);
  }
}

// A trap while a question waits for the GPU reaches no caller.
for (const kind of ["error", "unhandledrejection"]) {
  self.addEventListener(kind, (event) => {
    event.preventDefault();
    fail(event.error ?? event.reason ?? event, true);
  });
}

// The first message says which model, and whether on the GPU; the page is told of the GPU that there is.
self.onmessage = async ({ data: { own, onGpu } }) => {
  const loading = load(own, onGpu);
  loading.catch(() => {}); // each question is told
  let last = Promise.resolve();
  const naming = nameOfGpu().catch(() => null);
  self.onmessage = ({ data }) => {
    last = last.then(() => answer(loading, data, { own, gpu: onGpu && naming }));
  };
  self.postMessage({ gpu: await naming });
};
