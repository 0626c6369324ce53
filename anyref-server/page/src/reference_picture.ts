// Reference pictures, and the object marked in them.

import { BoxDrawing } from './box_drawing.ts';
import { button, h, openDialog, svg } from './dom.ts';
import type { Box } from './engine.ts';
import { toPng } from './files.ts';
import { loadImage } from './pictures.ts';

/** Longest side of thumbnails. */
const THUMBNAIL = 96;

type Part = 'whole' | 'box' | 'brush';

/** Reference picture with its mark. */
export interface MarkedPicture {
  file: File;
  box?: Box;
  mask?: Blob;
  thumbnail: string;
}

/** Lets the user mark a part of a picture; undefined if cancelled. */
export async function mark(file: File): Promise<MarkedPicture | undefined> {
  const image = await loadImage(file);
  const [width, height] = [image.naturalWidth, image.naturalHeight];
  let box: Box | undefined;
  let tool = 'whole' as Part;
  let painted = false;

  const paint = h('canvas', { width, height, 'aria-hidden': 'true', class: 'paint' });
  const brush = paint.getContext('2d')!;
  const marks = svg('svg', { viewBox: `0 0 ${width} ${height}`, class: 'marks' });
  const frame = svg('rect', { class: 'box', hidden: 'true' });
  marks.append(frame);
  const name = 'The other picture';
  const surface = h(
    'div',
    { class: 'surface small', tabindex: 0, role: 'application', 'aria-label': name },
    image,
    paint,
    marks,
  );
  surface.style.aspectRatio = `${width} / ${height}`;
  surface.style.maxWidth = `min(100%, ${(width / height) * 55}vh)`;
  const hint = h('p', { class: 'quiet', role: 'status' });
  const boxes = new BoxDrawing({
    element: surface,
    marks,
    size: () => [width, height],
    active: () => tool === 'box',
    done: (drawn) => {
      box = drawn;
      show();
    },
  });

  let last: [number, number] | undefined;
  const stroke = (event: PointerEvent) => {
    const at = boxes.at(event);
    brush.strokeStyle = '#fff';
    brush.lineCap = brush.lineJoin = 'round';
    brush.lineWidth = Math.max(width, height) / 14;
    brush.beginPath();
    brush.moveTo(...(last ?? at));
    brush.lineTo(...at);
    brush.stroke();
    last = at;
    painted = true;
  };
  surface.addEventListener('pointerdown', (event) => {
    if (tool === 'brush') {
      event.preventDefault();
      surface.setPointerCapture(event.pointerId);
      last = undefined;
      stroke(event);
    }
  });
  surface.addEventListener('pointermove', (event) => last && tool === 'brush' && stroke(event));
  surface.addEventListener('pointerup', () => {
    last = undefined;
  });

  const choices: [Part, HTMLButtonElement][] = [
    ['whole', button('picture', 'All of it', () => pick('whole'))],
    ['box', button('box', 'A box', () => pick('box'))],
    ['brush', button('brush', 'Paint it', () => pick('brush'))],
  ];
  const pick = (chosen: Part) => {
    tool = chosen;
    show();
    if (chosen === 'box') {
      surface.focus();
    }
  };
  const show = () => {
    choices.forEach(([kind, choice]) => choice.setAttribute('aria-pressed', `${kind === tool}`));
    surface.dataset.tool = tool === 'whole' ? 'look' : 'box';
    frame.toggleAttribute('hidden', tool !== 'box' || !box);
    paint.hidden = tool !== 'brush';
    if (box) {
      const [x, y, right, bottom] = box;
      const place = { x, y, width: right - x, height: bottom - y };
      Object.entries(place).forEach(([key, value]) => frame.setAttribute(key, `${value}`));
    }
    hint.textContent = {
      whole: 'All of the picture counts.',
      box: box ? `The box ${box.join(', ')} counts.` : 'Drag a box, or use arrow keys and Enter.',
      brush: 'Paint over the thing that counts.',
    }[tool];
  };
  show();

  return new Promise((resolve) => {
    let used = false;
    const use = h('button', { type: 'button', class: 'primary' }, 'Use this picture');
    const dialog = openDialog(
      'The part that counts',
      h(
        'div',
        { class: 'dialog-body' },
        h('div', { class: 'segmented', role: 'group', 'aria-label': 'Part' }, ...choices.map(([, c]) => c)),
        surface,
        hint,
      ),
      h('footer', {}, use),
    );
    use.addEventListener('click', () => {
      used = true;
      dialog.close();
    });
    use.focus();
    dialog.addEventListener('close', async () => {
      if (!used) {
        resolve(undefined);
        return;
      }
      const region = tool === 'box' ? box : undefined;
      const mask = tool === 'brush' && painted ? await toPng(onBlack(paint)) : undefined;
      resolve({ file, box: region, mask, thumbnail: thumbnail(image, region, mask && paint) });
    });
  });
}

/** Paint on black, as in masks. */
function onBlack(paint: HTMLCanvasElement): HTMLCanvasElement {
  const canvas = h('canvas', { width: paint.width, height: paint.height });
  const context = canvas.getContext('2d')!;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(paint, 0, 0);
  return canvas;
}

/** Data URL of a thumbnail of the marked part. */
export function thumbnail(image: HTMLImageElement, box?: Box, mask?: HTMLCanvasElement): string {
  const whole: Box = [0, 0, image.naturalWidth, image.naturalHeight];
  const [x, y, right, bottom] = box ?? whole;
  const scale = THUMBNAIL / Math.max(right - x, bottom - y);
  const canvas = h('canvas', {
    width: Math.max(1, Math.round((right - x) * scale)),
    height: Math.max(1, Math.round((bottom - y) * scale)),
  });
  const context = canvas.getContext('2d')!;
  const place = [0, 0, canvas.width, canvas.height] as const;
  if (mask) {
    context.drawImage(mask, ...place);
    context.globalCompositeOperation = 'source-in';
  }
  context.drawImage(image, x, y, right - x, bottom - y, ...place);
  return canvas.toDataURL('image/png');
}
