// What the page asks of a model: this one is in the browser, in a worker of its own.

import "./files.js";

// The worker that answers, and the user's own model if it has one.
let current = null;
let own = null;
// How many questions there were, of all workers.
let count = 0;

// A worker with a model: that of the page, or of a folder of the user's own.
function launch(own) {
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
  worker.onmessage = ({ data: { number, stage, result, error, dead } }) => {
    const question = waiting.get(number);
    if (!question) return;
    if (stage) return question.onStage(stage);
    waiting.delete(number);
    if (error) question.reject(Object.assign(new Error(error.message), { code: error.code }));
    else question.resolve(result);
    if (dead) launched.stop(new Error("the model in the page has stopped; try again"));
  };
  worker.onerror = (event) => launched.stop(new Error(event.message || "the script of the model cannot be loaded; reload the page"));
  worker.postMessage({ own });
  return launched;
}

function call(...question) {
  current ??= launch(own);
  return current.call(...question);
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
  // Takes the model of a folder, dropped or chosen. Where it cannot be loaded, the one before stays.
  async load(folder, onStage) {
    const chosen = folder.createReader ? await filesIn(folder) : [...folder].filter((file) => file.webkitRelativePath.split("/").length === 2);
    if (chosen.length === 0) throw new Error("there are no files in this folder; choose one with config.json and model.safetensors");
    const name = folder.name ?? chosen[0].webkitRelativePath.split("/")[0];
    const folderOfModel = { name, files: chosen };
    const next = launch(folderOfModel);
    try {
      await next.call("info", {}, onStage);
    } catch (error) {
      next.stop(error);
      throw new Error(`${error.message}. The model before stays. What a page cannot take, the program can: mllmseg serve --checkpoint ${name}`);
    }
    current?.stop(new Error("another model has taken its place"));
    [current, own] = [next, folderOfModel];
  },
  // For tests: the probabilities of one expression, row by row.
  probabilities: (expression) => call("probabilities", { expression }),
};

// The second visit needs no network. Where service workers are not allowed, neither is this.
navigator.serviceWorker?.register(new URL("../sw.js", import.meta.url)).catch(() => {});
