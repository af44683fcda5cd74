// The model inside a chapter of the book: the example, an expression, and one thing to change.

import { backend } from "./backend.js";
import { make } from "./make.js";
import { decodeMask, heatOf, maskOf, painted } from "./mask.js";

// What can be changed: weights of the mask decoder, from how they were learned.
const PLAIN = { offsets: 1, without: null };
const SWITCHES = {
  offsets: { label: "α times", values: ["0", "0.5", "1", "2", "4"], plain: "1", change: (value) => ({ ...PLAIN, offsets: Number(value) }) },
  without: { label: "Zeros for", values: ["no map", "T_vl", "T_img4", "T_img1"], plain: "no map", change: (value) => ({ ...PLAIN, without: value }) },
};
const COLOUR = "#56b4e9";
const SIDE = 504; // three times the example's

// All examples of a page ask one model, one after the other.
let turn = Promise.resolve();

// The answer of the model as learned or changed, and maps of its decoder.
async function answer(scene, expression, alteration, onStage) {
  await backend.alter(alteration);
  const { image_id: id } = await backend.open(scene, onStage);
  const { results: [result] } = await backend.ask(id, [expression], onStage);
  const { maps } = await backend.maps(id, true);
  return { ...result, maps, inside: result.rejected ? null : decodeMask(result.segmentation) };
}

// The share of the pixels of either mask that both have.
function overlap(a, b) {
  let both = 0, either = 0;
  a.forEach((value, index) => { both += value & b[index]; either += value | b[index]; });
  return either === 0 ? 0 : both / either;
}

function begin(place) {
  const change = SWITCHES[place.dataset.switch];
  const words = make("input", { type: "text", value: place.dataset.expression, maxLength: 400 });
  words.setAttribute("aria-label", "What to find");
  const choice = change && make("select", {}, change.values.map((value) => new Option(value, value, value === change.plain, value === change.plain)));
  const canvas = make("canvas", { width: SIDE, height: SIDE });
  canvas.setAttribute("role", "img");
  const maps = make("div", { className: "maps" });
  const note = make("p", { textContent: "The model is loaded…" });
  note.setAttribute("role", "status");
  const form = make("form", {}, [words, ...(choice ? [make("label", {}, [`${change.label} `, choice])] : []), make("button", { type: "submit", textContent: "Ask" })]);
  place.replaceChildren(form, make("div", { className: "shown" }, [canvas, maps]), note);
  const paint = canvas.getContext("2d");
  const example = fetch(new URL("./example.png", import.meta.url)).then((response) => response.blob());

  function show(bitmap, found) {
    paint.imageSmoothingEnabled = false;
    paint.drawImage(bitmap, 0, 0, SIDE, SIDE);
    if (found.inside) {
      paint.globalAlpha = 0.6;
      paint.drawImage(painted(maskOf(found.segmentation).mask, COLOUR, SIDE, SIDE), 0, 0);
      paint.globalAlpha = 1;
    }
    canvas.setAttribute("aria-label", `The example, ${found.expression}${found.rejected ? " (not found)" : ""}`);
  }

  async function run() {
    const expression = words.value.trim();
    if (!expression) return;
    try {
      const scene = await example;
      const bitmap = await createImageBitmap(scene);
      const stage = (text) => { note.textContent = `${text}…`; };
      const learned = await answer(scene, expression, PLAIN, stage);
      const value = choice?.value;
      const found = !choice || value === change.plain ? learned : await answer(scene, expression, change.change(value), stage);
      show(bitmap, found);
      const shown = await Promise.all(found.maps.map(async (map) => {
        const heat = await heatOf(map.png);
        const small = make("canvas", { width: heat.width, height: heat.height });
        small.getContext("2d").drawImage(heat, 0, 0);
        return make("figure", {}, [small, make("figcaption", { textContent: map.name })]);
      }));
      maps.replaceChildren(...shown);
      const says = (found) => (found.rejected ? "not in the picture" : `${found.area} pixels, score ${found.score.toFixed(3)}`);
      const both = found !== learned && found.inside && learned.inside;
      note.textContent = found === learned ? `${expression}: ${says(found)}`
        : `${expression}: ${says(found)}; as learned: ${says(learned)}${both ? `; IoU of the two ${overlap(found.inside, learned.inside).toFixed(3)}` : ""}`;
    } catch (error) {
      note.textContent = error.message;
    }
  }

  const ask = () => { turn = turn.then(run); };
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  choice?.addEventListener("change", ask);
  ask();
}

const needed = self.FILES.files.filter((file) => file.device !== "gpu");
const megabytes = (needed.reduce((sum, file) => sum + file.bytes, 0) / 1e6).toFixed(0);
for (const place of document.querySelectorAll(".live")) {
  const start = make("button", { type: "button", textContent: `Run the model here (${megabytes} MB, once)` });
  start.addEventListener("click", () => begin(place));
  place.replaceChildren(start);
}
