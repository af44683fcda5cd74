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

// The mask as a canvas of the picture's size, opaque inside; its first pixel and the end of its last.
export function maskOf(segmentation) {
  const [height, width] = segmentation.size;
  const layer = new OffscreenCanvas(width, height);
  const pixels = new ImageData(width, height);
  const inside = decodeMask(segmentation);
  inside.forEach((value, index) => { pixels.data[4 * index + 3] = value ? 255 : 0; });
  layer.getContext("2d").putImageData(pixels, 0, 0);
  const place = (index, below) => [index % width, Math.floor(index / width) + below];
  return { mask: layer, top: place(inside.indexOf(1), 0), bottom: place(inside.lastIndexOf(1), 1) };
}

// The mask in one colour, stretched over the canvas.
export function painted(mask, colour, width, height) {
  const layer = new OffscreenCanvas(width, height);
  const paint = layer.getContext("2d");
  paint.imageSmoothingEnabled = false;
  paint.drawImage(mask, 0, 0, width, height);
  paint.globalCompositeOperation = "source-in";
  paint.fillStyle = colour;
  paint.fillRect(0, 0, width, height);
  return layer;
}

// Viridis of Smith and van der Walt (CC0) at nine even places.
const HEAT = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [39, 173, 129], [92, 200, 99], [170, 220, 50], [253, 231, 37]];

// A map inside the model, in colours.
export async function heatOf(png) {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const grey = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const sheet = new OffscreenCanvas(grey.width, grey.height);
  const paint = sheet.getContext("2d");
  paint.drawImage(grey, 0, 0);
  const pixels = paint.getImageData(0, 0, grey.width, grey.height);
  for (let place = 0; place < pixels.data.length; place += 4) {
    const value = (pixels.data[place] / 255) * (HEAT.length - 1);
    const below = Math.min(Math.floor(value), HEAT.length - 2);
    for (let channel = 0; channel < 3; channel++) {
      pixels.data[place + channel] = HEAT[below][channel] + (value - below) * (HEAT[below + 1][channel] - HEAT[below][channel]);
    }
  }
  paint.putImageData(pixels, 0, 0);
  return sheet;
}
