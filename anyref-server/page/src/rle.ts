// Conversion of COCO's compressed run lengths to pixels, and of pixels to rings around them.

import type { Mask } from './engine.ts';

/** Pixels of a mask, row by row, 0 or 1. */
export interface Bitmap {
  width: number;
  height: number;
  pixels: Uint8Array;
}

/** Run lengths of off and on pixels, column by column. */
export function counts(compressed: string): number[] {
  const runs: number[] = [];
  let at = 0;
  while (at < compressed.length) {
    let value = 0;
    let shift = 0;
    let group: number;
    do {
      group = compressed.charCodeAt(at++) - 48;
      value += (group & 0x1f) * 2 ** shift;
      shift += 5;
    } while (group & 0x20 && at < compressed.length);
    if (group & 0x10) {
      value -= 2 ** shift;
    }
    runs.push(runs.length > 2 ? value + runs[runs.length - 2]! : value);
  }
  return runs;
}

/** Decodes the pixels of a mask. */
export function decode(mask: Mask): Bitmap {
  const [height, width] = mask.size;
  const pixels = new Uint8Array(width * height);
  let at = 0;
  counts(mask.counts).forEach((count, run) => {
    if (run % 2) {
      for (let i = at; i < at + count; i++) {
        pixels[(i % height) * width + Math.floor(i / height)] = 1;
      }
    }
    at += count;
  });
  return { width, height, pixels };
}

/** Closed line of corners, in pixels. */
export type Ring = [number, number][];

const STEP: [number, number][] = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];

/** Rings along the edges of pixels, a corner each pixel; filled by even-odd they give the mask. */
export function rings({ width, height, pixels }: Bitmap): Ring[] {
  const on = (x: number, y: number) =>
    x >= 0 && y >= 0 && x < width && y < height && pixels[y * width + x] === 1;
  // Edges by the corner where they start, with the mask on their right: bit `d` for direction `d`.
  const stride = width + 1;
  const edges = new Uint8Array(stride * (height + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (!on(x, y)) {
        continue;
      }
      if (!on(x, y - 1)) edges[y * stride + x]! |= 1;
      if (!on(x + 1, y)) edges[y * stride + x + 1]! |= 2;
      if (!on(x, y + 1)) edges[(y + 1) * stride + x + 1]! |= 4;
      if (!on(x - 1, y)) edges[(y + 1) * stride + x]! |= 8;
    }
  }
  const found: Ring[] = [];
  for (let start = 0; start < edges.length; start++) {
    while (edges[start]) {
      const ring: Ring = [];
      let at = start;
      let direction = Math.log2(edges[at]! & -edges[at]!);
      do {
        // A right turn comes first: pixels that only touch at a corner stay separate.
        const turn = [1, 0, 3].find((turn) => edges[at]! & (1 << ((direction + turn) % 4)));
        direction = ring.length ? (direction + (turn ?? 0)) % 4 : direction;
        edges[at]! &= ~(1 << direction);
        ring.push([at % stride, Math.floor(at / stride)]);
        const [dx, dy] = STEP[direction]!;
        at += dy * stride + dx;
      } while (at !== start);
      found.push(ring);
    }
  }
  return found;
}

/** Ring with corners only where it turns. */
export function corners(ring: Ring): Ring {
  return ring.filter(([x, y], i) => {
    const [px, py] = ring[(i + ring.length - 1) % ring.length]!;
    const [nx, ny] = ring[(i + 1) % ring.length]!;
    return (x - px) * (ny - y) !== (y - py) * (nx - x);
  });
}

/** Ring without the stairs of pixels, for display. */
export function smooth(ring: Ring): Ring {
  const passes = Math.min(3, Math.floor(ring.length / 8));
  let line = ring;
  for (let pass = 0; pass <= passes; pass++) {
    line = line.map(([x, y], i) => {
      const [nx, ny] = line[(i + 1) % line.length]!;
      return [(x + nx) / 2, (y + ny) / 2];
    });
  }
  return line;
}

/** SVG path of rings. */
export function path(rings: Ring[]): string {
  return rings
    .map((ring) => `M${ring.map(([x, y]) => `${x} ${y}`).join('L')}Z`)
    .join('');
}
