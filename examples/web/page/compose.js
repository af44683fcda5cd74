// A scene of the user's own: shapes on an empty ground, drawn by what draws the scenes of the training.

import { make } from "./make.js";

// What can be placed, and what has been: from back to front, centres in pixels of the image.
let kinds = null;
const objects = [];
let count = 0;

function choice(label, words) {
  const made = make("select", {}, words.map((word) => new Option(word)));
  made.setAttribute("aria-label", label);
  return made;
}

const diameter = (object) => kinds.sizes.find((size) => size.name === object.size).diameter;

// The place nearest to a point where no part of the object is cut.
function inside(object, point) {
  const edge = 0.6 * diameter(object) + 2; // corners reach beyond the disc
  return point.map((value, axis) => Math.round(Math.min(Math.max(value, edge), kinds.image_size[axis] - edge)));
}

// Of some places, the one that is farthest from all objects.
function freePlace() {
  const [width, height] = kinds.image_size;
  const places = [1, 3, 5].flatMap((row) => [1, 3, 5].map((column) => [(column * width) / 6, (row * height) / 6]));
  const distance = (place) => Math.min(1e9, ...objects.map(({ centre }) => Math.hypot(centre[0] - place[0], centre[1] - place[1])));
  return places.reduce((best, place) => (distance(place) > distance(best) ? place : best));
}

// Shows the dialog; the scene goes to `open` as a file.
export async function compose(backend, open) {
  kinds ??= await backend.kinds();
  const picture = make("img", { alt: "The scene", draggable: false });
  const board = make("div", { id: "board" }, [picture]);
  const choices = {
    shape: choice("Shape", kinds.shapes),
    colour: choice("Colour", kinds.colours),
    size: choice("Size", kinds.sizes.map((size) => size.name)),
  };
  const add = make("button", { type: "button", textContent: "Add" });
  const done = make("button", { type: "button", textContent: "Ask about this scene" });
  const leave = make("button", { type: "button", textContent: "Cancel" });
  const note = make("p", { className: "note", textContent: "Drag a shape, or choose it by Tab and move it by the arrow keys; Delete removes it. A click on the ground adds one there." });
  const error = make("p", { className: "note" });
  error.setAttribute("role", "alert");
  const dialog = make("dialog", {}, [
    make("h2", { textContent: "Compose a scene" }),
    make("div", { className: "row" }, [...Object.values(choices), add]),
    board, note, error,
    make("div", { className: "row" }, [done, leave]),
  ]);

  let drawing = false;
  let stale = false;
  // Draws what is there now; while one picture is drawn, only the last change waits.
  async function draw() {
    stale = true;
    if (drawing) return;
    drawing = true;
    try {
      while (stale) {
        stale = false;
        const blob = await backend.compose(objects);
        URL.revokeObjectURL(picture.src);
        picture.src = URL.createObjectURL(blob);
        error.textContent = "";
      }
    } catch (problem) {
      error.textContent = problem.message;
    } finally {
      drawing = false;
    }
  }

  function place(handle, object) {
    const [width, height] = kinds.image_size;
    handle.style.left = `${(100 * object.centre[0]) / width}%`;
    handle.style.top = `${(100 * object.centre[1]) / height}%`;
    handle.style.width = `${(120 * diameter(object)) / width}%`;
    handle.style.height = `${(120 * diameter(object)) / height}%`;
    handle.setAttribute("aria-label", `${object.size} ${object.colour} ${object.shape} at ${object.centre.join(", ")}`);
  }

  function pointOf(event) {
    const { left, top, width, height } = board.getBoundingClientRect();
    return [((event.clientX - left) * kinds.image_size[0]) / width, ((event.clientY - top) * kinds.image_size[1]) / height];
  }

  function handleOf(object) {
    const handle = make("button", { type: "button" });
    const move = (point) => {
      object.centre = inside(object, point);
      place(handle, object);
      draw();
    };
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      const [from, centre] = [pointOf(event), object.centre];
      handle.onpointermove = (event) => move(pointOf(event).map((value, axis) => centre[axis] + value - from[axis]));
    });
    handle.addEventListener("lostpointercapture", () => { handle.onpointermove = null; });
    handle.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (step) move(object.centre.map((value, axis) => value + (event.shiftKey ? 1 : 5) * step[axis]));
      else if (event.key === "Delete" || event.key === "Backspace") {
        objects.splice(objects.indexOf(object), 1);
        (handle.nextElementSibling ?? add).focus();
        handle.remove();
        draw();
      } else return;
      event.preventDefault();
    });
    place(handle, object);
    return handle;
  }

  function addAt(point) {
    const object = { ...Object.fromEntries(Object.entries(choices).map(([name, made]) => [name, made.value])), number: count++ };
    object.centre = inside(object, point);
    objects.push(object);
    const handle = handleOf(object);
    board.append(handle);
    handle.focus();
    draw();
  }

  add.addEventListener("click", () => addAt(freePlace()));
  board.addEventListener("click", (event) => event.target === picture && addAt(pointOf(event)));
  leave.addEventListener("click", () => dialog.close());
  done.addEventListener("click", async () => {
    const scene = await backend.compose(objects).catch((problem) => { error.textContent = problem.message; });
    if (!scene) return;
    dialog.close();
    open(scene);
  });
  dialog.addEventListener("close", () => {
    URL.revokeObjectURL(picture.src);
    dialog.remove();
  });
  board.append(...objects.map(handleOf));
  document.body.append(dialog);
  dialog.showModal();
  await draw();
}
