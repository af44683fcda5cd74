// What the page asks of a model: this one is in the browser, in a worker of its own.

// The worker, the questions that it has not answered, and how many there were.
let worker = null;
const waiting = new Map();
let count = 0;

function start() {
  worker = new Worker(new URL("./worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { number, stage, result, error, dead } }) => {
    const question = waiting.get(number);
    if (!question) return;
    if (stage) return question.onStage(stage);
    waiting.delete(number);
    if (error) question.reject(Object.assign(new Error(error.message), { code: error.code }));
    else question.resolve(result);
    if (dead) stop(new Error("the model in the page has stopped; try again"));
  };
  worker.onerror = (event) => stop(new Error(event.message || "the script of the model cannot be loaded; reload the page"));
}

// Ends the worker; the next question starts another.
function stop(error) {
  worker?.terminate();
  worker = null;
  for (const question of waiting.values()) question.reject(error);
  waiting.clear();
}

function call(task, values = {}, onStage = () => {}) {
  if (!worker) start();
  const number = count++;
  return new Promise((resolve, reject) => {
    waiting.set(number, { onStage, resolve, reject });
    worker.postMessage({ number, task, ...values });
  });
}

export const backend = {
  info: (onStage) => call("info", {}, onStage),
  open: (file, onStage) => call("open", { file }, onStage),
  ask: (id, expressions, onStage, format = "rle") => call("ask", { id, expressions, format }, onStage),
  maps: (id) => call("maps", { id }),
  draw: () => call("draw", { scene: Math.floor(Math.random() * 2 ** 32) }),
  // For tests: the probabilities of one expression, row by row.
  probabilities: (expression) => call("probabilities", { expression }),
};

// The second visit needs no network. Where service workers are not allowed, neither is this.
navigator.serviceWorker?.register(new URL("../sw.js", import.meta.url)).catch(() => {});
