// What the page asks of a model: this one is in the browser, in a worker of its own.

import "./files.js";

// The worker that answers, and what it has: the user's own model, or none, on the CPU or on the GPU.
let current = null;
let chosen = { own: null, onGpu: false };
// Why the GPU has stopped, where no question was waiting: the next one is told.
let lost = null;
// The name of the browser's GPU, or null, once a worker has asked.
let tellGpu = null;
const gpu = new Promise((resolve) => { tellGpu = resolve; });
// How many questions there were, of all workers.
let count = 0;

// A worker with a model.
function launch(choice) {
  const worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  const waiting = new Map(); // the questions that it has not answered
  const launched = {
    call(task, values = {}, onStage = () => {}) {
      const number = count++;
      return new Promise((resolve, reject) => {
        waiting.set(number, { onStage, resolve, reject });
        worker.postMessage({ number, task, ...values });
      });
    },
    // Ends it; the next question starts another.
    stop(error) {
      worker.terminate();
      if (current === launched) current = null;
      for (const question of waiting.values()) question.reject(error);
      waiting.clear();
    },
  };
  worker.onmessage = ({ data }) => {
    if ("gpu" in data) return tellGpu(data.gpu);
    const { number, stage, result, error, dead } = data;
    if (dead && choice.onGpu && current === launched) {
      chosen = { ...choice, onGpu: false };
      const reason = Object.assign(new Error(`WebGPU has stopped (${error.message}); the CPU goes on`), { code: "DEVICE_LOST" });
      if (waiting.size === 0) lost = reason;
      return launched.stop(reason);
    }
    const question = waiting.get(number);
    if (!question) return;
    if (stage) return question.onStage(stage);
    waiting.delete(number);
    if (error) question.reject(Object.assign(new Error(error.message), { code: error.code }));
    else question.resolve(result);
    if (dead) launched.stop(new Error("the model in the page has stopped; try again"));
  };
  worker.onerror = (event) => launched.stop(new Error(event.message || "the script of the model cannot be loaded; reload the page"));
  worker.postMessage(choice);
  return launched;
}

async function call(...question) {
  if (lost) {
    const reason = lost;
    lost = null;
    throw reason;
  }
  current ??= launch(chosen);
  return current.call(...question);
}

// Takes another model, or the same on another device. Where it cannot be loaded, the one before stays.
async function change(choice, onStage) {
  const next = launch(choice);
  try {
    await next.call("info", {}, onStage);
  } catch (error) {
    next.stop(error);
    throw error;
  }
  current?.stop(new Error("another model has taken its place"));
  [current, chosen, lost] = [next, choice, null];
}

// The files of a folder that was dropped.
async function filesIn(entry) {
  const [files, reader] = [[], entry.createReader()];
  // It gives a hundred at a time.
  for (let some; (some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject))).length > 0; ) {
    files.push(...(await Promise.all(some.filter((one) => one.isFile).map((one) => new Promise((resolve, reject) => one.file(resolve, reject))))));
  }
  return files;
}

export const backend = {
  book: self.FILES.book, // whether it is beside the page
  info: (onStage) => call("info", {}, onStage),
  open: (file, onStage) => call("open", { file }, onStage),
  ask: (id, expressions, onStage, format = "rle") => call("ask", { id, expressions, format }, onStage),
  maps: (id, ofDecoder = false) => call("maps", { id, ofDecoder }),
  draw: () => call("draw", { scene: Math.floor(Math.random() * 2 ** 32) }),
  // What can be placed in a scene, and the picture of one.
  kinds: () => call("kinds"),
  compose: (objects) => call("compose", { objects }),
  // Changes weights of the model; pictures must be opened again.
  alter: (alteration) => call("alter", { alteration }),
  // Takes the model of a folder, dropped or chosen.
  async load(folder, onStage) {
    const files = folder.createReader ? await filesIn(folder) : [...folder].filter((file) => file.webkitRelativePath.split("/").length === 2);
    if (files.length === 0) throw new Error("there are no files in this folder; choose one with config.json and model.safetensors");
    const name = folder.name ?? files[0].webkitRelativePath.split("/")[0];
    await change({ ...chosen, own: { name, files } }, onStage).catch((error) => {
      throw new Error(`${error.message}. The model before stays. What a page cannot take, the program can: mllmseg serve --checkpoint ${name}`);
    });
  },
  gpu,
  onGpu: () => chosen.onGpu,
  // Computes on the GPU, or on the CPU again.
  async compute(onGpu, onStage) {
    await change({ ...chosen, onGpu }, onStage).catch((error) => {
      throw onGpu ? new Error(`WebGPU cannot be used: ${error.message}. The CPU goes on.`) : error;
    });
  },
  // For tests: the probabilities of one expression, row by row.
  probabilities: (expression) => call("probabilities", { expression }),
};

// The second visit needs no network. Where service workers are not allowed, neither is this.
navigator.serviceWorker?.register(new URL("../sw.js", import.meta.url)).catch(() => {});
