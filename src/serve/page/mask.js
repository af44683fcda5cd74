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
