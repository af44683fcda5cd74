import { backend } from "./backend.js";
import { heatOf, maskOf, painted } from "./mask.js";

const element = (id) => document.getElementById(id);
const canvas = element("canvas");
const context = canvas.getContext("2d");
// As the program's pictures: Okabe and Ito's colours.
const COLOURS = ["#56b4e9", "#e69f00", "#cc79a7", "#009e73", "#f0e442", "#d55e00", "#0072b2"];
// The canvas has at least as many pixels, so that small pictures can be looked at.
const LEAST = 640;
// The picture outside of every mask keeps this much of its light.
const DIM = 0.4;

// The picture that is shown: its file, its pixels, its id at the back end and its answers.
let shown = null;
// Counts the pictures, so that a late answer to an earlier one is left aside.
let turn = 0;
let colours = 0;
// The words that the model has met, where they are known.
let known = [];

function say(text) { element("status").textContent = text; }
function alarm(error) {
  element("error").hidden = !error;
  element("error").textContent = error ? error.message : "";
  if (error?.code === "DEVICE_LOST") start();
}
const seconds = (value) => (value < 1 ? `${Math.round(value * 1000)} ms` : `${value.toFixed(1)} s`);

async function start() {
  try {
    const info = await backend.info((stage) => shown || say(`Loading the model: ${stage}…`));
    if (!shown) say("");
    known = info.words ?? [];
    element("model").textContent = `${info.model} on ${info.device}`;
    element("device").selectedIndex = Number(backend.onGpu?.() ?? false);
    element("notice").hidden = !info.notice;
    element("notice").textContent = info.notice ?? "";
  } catch (error) { alarm(error); }
}

async function open(file) {
  const mine = ++turn;
  alarm(null);
  enable(false);
  try {
    const bitmap = await createImageBitmap(file).catch(() => {
      throw new Error("this file is no picture that the browser reads; take a JPEG, PNG, WebP or BMP");
    });
    if (mine !== turn) return;
    shown = { file, bitmap, id: null, answers: [], layers: [], first: null };
    colours = 0;
    element("picture").classList.add("full");
    element("tools").hidden = false;
    render();
    say("Reading the picture…");
    await encode(shown);
    if (mine !== turn) return;
    enable(true);
    element("words").focus();
  } catch (error) {
    if (mine === turn) { say(""); alarm(error); }
  }
}

// Says that a GPU is lost; the CPU can be asked the same.
function recover(error) {
  if (error.code !== "DEVICE_LOST") throw error;
  alarm(error);
}

// Gives the picture to the back end.
async function encode(picture) {
  const begin = performance.now();
  const read = () => backend.open(picture.file, (stage) => picture === shown && say(`Reading the picture: ${stage}…`));
  const opened = await read().catch((error) => { recover(error); return read(); });
  picture.id = opened.image_id;
  picture.encoded = (performance.now() - begin) / 1000;
  if (picture === shown) say(opened.cached ? "The picture was known already." : `Read in ${seconds(picture.encoded)}. Ask as often as you like.`);
}

async function ask(expression) {
  const picture = shown;
  alarm(null);
  element("ask").disabled = true;
  const begin = performance.now();
  const stage = (text) => picture === shown && say(`${text}…`);
  try {
    let answer;
    try {
      answer = await backend.ask(picture.id, [expression], stage);
    } catch (error) {
      // The server keeps so many pictures and no more.
      if (error.code !== "IMAGE_NOT_FOUND") recover(error);
      await encode(picture);
      answer = await backend.ask(picture.id, [expression], stage);
    }
    if (picture !== shown) return;
    const result = answer.results[0];
    const time = (performance.now() - begin) / 1000;
    const found = { ...result, time, visible: true, colour: null, mask: null };
    if (!result.rejected && result.area > 0) {
      found.colour = COLOURS[colours++ % COLOURS.length];
      Object.assign(found, maskOf(result.segmentation));
    }
    picture.answers.push(found);
    picture.first ??= picture.encoded + time;
    const share = picture.answers.length > 1 ? `, ${Math.max(1, Math.round((100 * time) / picture.first))} % of reading the picture and the first answer` : "";
    say(`Answered in ${seconds(time)}${share}.`);
    element("words").value = "";
    offer();
    render();
  } catch (error) {
    if (picture === shown) { say(""); alarm(error); }
  } finally {
    element("ask").disabled = false;
    element("words").focus();
  }
}

function draw() {
  const { bitmap, answers, layers } = shown;
  const factor = Math.max(1, Math.ceil(LEAST / Math.max(bitmap.width, bitmap.height)));
  const [width, height] = [bitmap.width * factor, bitmap.height * factor];
  [canvas.width, canvas.height] = [width, height];
  context.imageSmoothingEnabled = false;
  context.drawImage(bitmap, 0, 0, width, height);
  const seen = answers.filter((answer) => answer.mask && answer.visible);
  if (seen.length > 0) {
    // What no mask covers is dimmed.
    const shade = new OffscreenCanvas(width, height);
    const paint = shade.getContext("2d");
    paint.fillStyle = `rgba(0, 0, 0, ${1 - DIM})`;
    paint.fillRect(0, 0, width, height);
    paint.globalCompositeOperation = "destination-out";
    seen.forEach((answer) => paint.drawImage(painted(answer.mask, "#000", width, height), 0, 0));
    context.drawImage(shade, 0, 0);
  }
  for (const layer of layers.filter((layer) => layer.visible)) {
    context.globalAlpha = 0.65;
    context.imageSmoothingEnabled = true;
    context.drawImage(layer.heat, 0, 0, width, height);
    context.globalAlpha = 1;
  }
  const line = Math.max(2, Math.round(Math.min(width, height) / 200));
  seen.forEach((answer) => outline(answer, width, height, line));
  const tags = [];
  seen.forEach((answer) => label(answer, factor, tags));
  const list = answers.map((answer) => answer.expression + (answer.mask ? "" : " (not found)")).join(", ");
  canvas.setAttribute("aria-label", `The picture, ${list || "no answers yet"}`);
}

// The mask moved a little in all directions, less the mask itself.
function outline(answer, width, height, line) {
  const full = painted(answer.mask, answer.colour, width, height);
  const rim = new OffscreenCanvas(width, height);
  const paint = rim.getContext("2d");
  for (let step = 0; step < 16; step++) {
    const angle = (step * Math.PI) / 8;
    paint.drawImage(full, Math.round(line * Math.cos(angle)), Math.round(line * Math.sin(angle)));
  }
  paint.globalCompositeOperation = "destination-out";
  paint.drawImage(full, 0, 0);
  context.drawImage(rim, 0, 0);
}

// The words above the mask's first pixel, or else below its last, where no other words are.
function label(answer, factor, tags) {
  const { width, height } = canvas;
  const size = Math.max(14, Math.round(Math.min(width, height) / 34));
  context.font = `600 ${size}px system-ui, sans-serif`;
  const text = answer.expression.length > 40 ? answer.expression.slice(0, 39) + "…" : answer.expression;
  const wide = context.measureText(text).width + size;
  const tall = 1.45 * size;
  const at = ([x, y], steps) => ({
    x: Math.max(0, Math.min(x * factor - wide / 2, width - wide)),
    y: Math.max(0, Math.min(y * factor + steps * tall, height - tall)),
  });
  const places = [at(answer.top, -1.2), at(answer.bottom, 0.2), at(answer.top, -2.3), at(answer.bottom, 1.3)];
  const apart = (a, b) => a.x + a.wide <= b.x || b.x + b.wide <= a.x || a.y + tall <= b.y || b.y + tall <= a.y;
  const free = (place) => tags.every((tag) => apart(tag, { ...place, wide }));
  // At the upper edge there is no room above.
  if (answer.top[1] * factor < 1.2 * tall) places.shift();
  const { x, y } = places.find(free) ?? places[0];
  tags.push({ x, y, wide });
  context.fillStyle = answer.colour;
  context.fillRect(x, y, wide, tall);
  context.fillStyle = light(answer.colour) ? "#111" : "#fff";
  context.fillText(text, x + size / 2, y + 1.05 * size);
}

function light(colour) {
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(colour.slice(place, place + 2), 16));
  return 0.3 * red + 0.59 * green + 0.11 * blue > 120;
}

function button(text, name, action) {
  const made = document.createElement("button");
  made.type = "button";
  made.textContent = text;
  made.setAttribute("aria-label", name);
  made.addEventListener("click", () => Promise.resolve().then(action).catch(alarm));
  return made;
}

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

const fileName = (expression, ending) => `${expression.replace(/[^\p{L}\p{N}]+/gu, "_").slice(0, 60)}.${ending}`;

// Black and white, of the picture's size.
async function saveMask(answer) {
  const sheet = new OffscreenCanvas(answer.mask.width, answer.mask.height);
  const paint = sheet.getContext("2d");
  paint.fillRect(0, 0, sheet.width, sheet.height);
  paint.drawImage(painted(answer.mask, "#fff", sheet.width, sheet.height), 0, 0);
  save(fileName(answer.expression, "mask.png"), await sheet.convertToBlob());
}

// The picture inside of the mask, transparent outside.
async function saveCutOut(answer) {
  const sheet = new OffscreenCanvas(answer.mask.width, answer.mask.height);
  const paint = sheet.getContext("2d");
  paint.drawImage(answer.mask, 0, 0);
  paint.globalCompositeOperation = "source-in";
  paint.drawImage(shown.bitmap, 0, 0, sheet.width, sheet.height);
  save(fileName(answer.expression, "cutout.png"), await sheet.convertToBlob());
}

async function saveSvg(answer) {
  const { results } = await backend.ask(shown.id, [answer.expression], say, "svg");
  save(fileName(answer.expression, "svg"), new Blob([results[0].svg], { type: "image/svg+xml" }));
}

async function saveCoco() {
  const expressions = shown.answers.map((answer) => answer.expression);
  if (expressions.length === 0) throw new Error("ask something first");
  const { coco } = await backend.ask(shown.id, [...new Set(expressions)], say, "coco");
  save("annotations.json", new Blob([JSON.stringify(coco)], { type: "application/json" }));
}

async function showMaps() {
  const picture = shown;
  if (!picture.id || picture.layers.length > 0) return;
  const { maps } = await backend.maps(picture.id);
  const layers = await Promise.all(maps.map(async (map) => ({ ...map, heat: await heatOf(map.png), visible: map === maps[0] })));
  if (picture !== shown) return;
  picture.layers = layers;
  render();
}

function item(title, note, colour, buttons, hidden) {
  const row = document.createElement("li");
  row.classList.toggle("hidden", hidden);
  const words = document.createElement("div");
  words.className = "words";
  if (colour) {
    const chip = document.createElement("span");
    chip.className = "chip";
    chip.style.background = colour;
    words.append(chip);
  }
  words.append(title);
  const line = document.createElement("p");
  line.className = "note";
  line.textContent = note;
  const tools = document.createElement("div");
  tools.className = "row";
  tools.append(...buttons);
  row.append(words, line, tools);
  return row;
}

function render() {
  draw();
  element("answers").replaceChildren(...shown.answers.map((answer) => {
    const name = answer.expression;
    const toggle = button(answer.visible ? "Hide" : "Show", `Hide or show ${name}`, () => { answer.visible = !answer.visible; render(); });
    const remove = button("Remove", `Remove ${name}`, () => { shown.answers = shown.answers.filter((other) => other !== answer); render(); });
    const note = answer.rejected ? "not in the picture" : answer.mask ? `score ${answer.score.toFixed(2)}, ${answer.area} pixels` : "empty mask";
    const saves = answer.mask ? [
      toggle,
      button("Mask", `Save the mask of ${name} as PNG`, () => saveMask(answer)),
      button("Cut-out", `Save the cut-out of ${name} as PNG`, () => saveCutOut(answer)),
      button("SVG", `Save the outline of ${name} as SVG`, () => saveSvg(answer)),
    ] : [];
    return item(name, `${note}, ${seconds(answer.time)}`, answer.colour, [...saves, remove], !answer.visible);
  }));
  element("layers").replaceChildren(...shown.layers.map((layer) => {
    const toggle = button(layer.visible ? "Hide" : "Show", `Hide or show ${layer.name}`, () => { layer.visible = !layer.visible; render(); });
    const [least, most] = layer.range.map((value) => value.toPrecision(3));
    return item(layer.name, `${layer.origin}, ${layer.side} x ${layer.side} tokens, ${least} to ${most}`, null, [toggle], !layer.visible);
  }));
}

function enable(ready) {
  element("words").disabled = !ready;
  element("ask").disabled = !ready;
}

function firstPicture(list) {
  const found = [...(list ?? [])].find((entry) => entry.type.startsWith("image/"));
  if (found) open(found);
  else alarm(new Error("no picture was found there; take a JPEG, PNG, WebP or BMP"));
}

// Takes another model or device, and reads the picture again.
async function change(load) {
  alarm(null);
  enable(false);
  try {
    await load((stage) => say(`Loading the model: ${stage}…`));
    await start();
    if (shown) await open(shown.file);
  } catch (error) {
    say("");
    alarm(error);
    enable(Boolean(shown?.id));
  }
}

const takeModel = (folder) => change((onStage) => backend.load(folder, onStage));

async function openExample() {
  const response = await fetch(new URL("./example.png", import.meta.url));
  if (response.ok) open(await response.blob());
}

// Offers the words that the model has met, after those that are written already.
function offer() {
  const text = element("words").value;
  const before = text.slice(0, text.lastIndexOf(" ") + 1);
  const last = text.slice(before.length).toLowerCase();
  const fitting = known.filter((word) => word.startsWith(last) && word !== last);
  element("known").replaceChildren(...fitting.map((word) => new Option("", before + word)));
}

element("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = element("words").value.trim();
  if (words && shown?.id && !element("ask").disabled) ask(words);
});
element("file").addEventListener("change", (event) => {
  if (event.target.files.length > 0) open(event.target.files[0]);
  event.target.value = "";
});
element("example").addEventListener("click", openExample);
element("words").addEventListener("input", offer);
const actions = {
  draw: async () => open(await backend.draw()),
  compose: async () => (await import("./compose.js")).compose(backend, open),
};
for (const part of document.querySelectorAll("[data-needs]")) {
  const { needs } = part.dataset;
  part.hidden = !backend[needs];
  if (actions[needs]) part.addEventListener("click", () => actions[needs]().catch(alarm));
}
element("folder").addEventListener("change", (event) => takeModel(event.target.files).finally(() => { event.target.value = ""; }));
element("device").addEventListener("change", async ({ target }) => {
  target.disabled = true;
  await change((onStage) => backend.compute(target.selectedIndex === 1, onStage));
  target.selectedIndex = Number(backend.onGpu());
  target.disabled = false;
});
element("other").addEventListener("click", () => element("file").click());
element("coco").addEventListener("click", () => saveCoco().catch(alarm));
element("maps").addEventListener("click", () => showMaps().catch(alarm));
document.addEventListener("dragover", (event) => { event.preventDefault(); element("picture").classList.add("over"); });
document.addEventListener("dragleave", () => element("picture").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  element("picture").classList.remove("over");
  const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.());
  const folder = backend.load && entries.find((entry) => entry?.isDirectory);
  if (folder) takeModel(folder);
  else firstPicture(event.dataTransfer.files);
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length > 0) firstPicture(event.clipboardData.files);
});
backend.gpu?.then((name) => { element("devices").hidden = !name; });
start();
