// Export of masks as files, and of questions as commands.

import { question } from './draft.ts';
import { download, stem, toPng } from './files.ts';
import { h } from './dom.ts';
import { pointFields } from './requests.ts';
import { paint } from './palette.ts';
import { corners, path, rings } from './rle.ts';
import type { Reference, Sheet, Turn } from './state.ts';

/** Saves each visible mask as a PNG, white on black. */
export async function saveMasks(sheet: Sheet, turn: Turn): Promise<void> {
  const shown = turn.masks.filter(({ visible }) => visible);
  for (const [i, { bitmap }] of shown.entries()) {
    const canvas = h('canvas', { width: bitmap.width, height: bitmap.height });
    const context = canvas.getContext('2d')!;
    const image = context.createImageData(bitmap.width, bitmap.height);
    bitmap.pixels.forEach((on, at) => image.data.set([on * 255, on * 255, on * 255, 255], at * 4));
    context.putImageData(image, 0, 0);
    const number = shown.length > 1 ? `_${i + 1}` : '';
    download(await toPng(canvas), `${stem(sheet.name)}-mask${number}.png`);
  }
}

/** Saves the picture inside the visible masks, transparent around it. */
export async function saveCutOut(sheet: Sheet, turn: Turn): Promise<void> {
  const canvas = h('canvas', { width: sheet.width, height: sheet.height });
  const context = canvas.getContext('2d', { willReadFrequently: true })!;
  context.drawImage(sheet.image, 0, 0);
  const image = context.getImageData(0, 0, sheet.width, sheet.height);
  const shown = turn.masks.filter(({ visible }) => visible);
  for (let at = 0; at < sheet.width * sheet.height; at++) {
    if (!shown.some(({ bitmap }) => bitmap.pixels[at])) {
      image.data[at * 4 + 3] = 0;
    }
  }
  context.putImageData(image, 0, 0);
  download(await toPng(canvas), `${stem(sheet.name)}-cut-out.png`);
}

/** Saves the answer as a file in COCO's format, for `pycocotools`. */
export function saveCoco(sheet: Sheet, turn: Turn): void {
  const { masks, parts, text } = turn.answer!;
  const name = (i: number) => parts.find(({ mask }) => mask === i)?.text ?? `mask ${i + 1}`;
  const names = [...new Set(masks.map((_, i) => name(i)))];
  const file = {
    info: { description: text },
    images: [{ id: 1, file_name: sheet.name, width: sheet.width, height: sheet.height }],
    categories: names.map((name, i) => ({ id: i + 1, name })),
    annotations: masks.map((mask, i) => {
      const [x, y, right, bottom] = mask.box;
      return {
        id: i + 1,
        image_id: 1,
        category_id: names.indexOf(name(i)) + 1,
        segmentation: { size: mask.size, counts: mask.counts },
        area: mask.area,
        bbox: [x, y, right - x, bottom - y],
        iscrowd: 0,
        score: mask.score,
      };
    }),
  };
  const json = new Blob([JSON.stringify(file, null, 2)], { type: 'application/json' });
  download(json, `${stem(sheet.name)}-coco.json`);
}

/** Saves the outlines of the visible masks as an SVG in the picture's size. */
export function saveSvg(sheet: Sheet, turn: Turn): void {
  const { masks, parts } = turn.answer!;
  const paths = masks.flatMap((_, i) => {
    const { bitmap, colour, visible } = turn.masks[i]!;
    const name = parts.find(({ mask }) => mask === i)?.text ?? `mask ${i + 1}`;
    const line = path(rings(bitmap).map(corners));
    const title = `<title>${escape(name)}</title>`;
    return visible
      ? [`  <path fill="${paint(colour)}" fill-opacity=".5" fill-rule="evenodd" d="${line}">${title}</path>`]
      : [];
  });
  const { width, height } = sheet;
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  const text = `<svg xmlns="http://www.w3.org/2000/svg" ${size}>\n${paths.join('\n')}\n</svg>\n`;
  download(new Blob([text], { type: 'image/svg+xml' }), `${stem(sheet.name)}.svg`);
}

function escape(text: string): string {
  return text.replace(/[&<>]/g, (sign) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[sign]!);
}

/** Quotes a word for a shell. */
function quoted(word: string): string {
  return /^[\w./,:=-]+$/.test(word) ? word : `'${word.replace(/'/g, `'\\''`)}'`;
}

function options({ input, name }: Reference, index: number): string[] {
  switch (input.kind) {
    case 'text':
      return ['--text', input.text];
    case 'box':
      return ['--box', input.box.join(',')];
    case 'points':
      return ['--points', input.points.map(({ x, y, on }) => `${x},${y}${on ? '' : ',0'}`).join(';')];
    case 'picture': {
      const part = input.box ? ['--ref-box', input.box.join(',')] : [];
      const mask = input.mask ? ['--ref-mask', `reference-${index + 1}-mask.png`] : [];
      return ['--ref-image', name ?? 'reference.png', ...part, ...mask];
    }
    case 'sound':
      return ['--audio', name ?? 'sound.wav'];
  }
}

/** Question as a command of `anyref`. */
export function commandLine(sheet: Sheet, turn: Turn): string {
  const { draft } = turn;
  const { text } = question(draft);
  const goal = draft.goal === 'describe' && !text ? 'describe' : 'segment';
  const words = ['anyref', goal, '--image', sheet.name, ...draft.references.flatMap(options)];
  if (text) {
    words.push('--prompt', text);
  }
  if (draft.goal === 'chat') {
    words.push('--candidates', '1');
  }
  words.push('--mask', `${stem(sheet.name)}-mask.png`);
  return words.map(quoted).join(' ');
}

/** Question as commands of `curl`, with the files by their names. */
export function curl(sheet: Sheet, turn: Turn, address: string, model?: string): string {
  const { draft } = turn;
  const asked = question(draft);
  // Filled in by the shell.
  const file = (name: string) => `\u0001(base64 < ${quoted(name)} | tr -d '\\n')`;
  const references = draft.references.map(({ input, name }, i) => {
    switch (input.kind) {
      case 'text':
        return { type: 'text', text: input.text };
      case 'box':
        return { type: 'box', box: input.box };
      case 'points':
        return { type: 'points', ...pointFields(input.points) };
      case 'picture': {
        const mask = input.mask && file(`reference-${i + 1}-mask.png`);
        return { type: 'picture', data: file(name ?? 'reference.png'), box: input.box, mask };
      }
      case 'sound':
        return { type: 'sound', data: file(name ?? 'sound.wav') };
    }
  });
  const body = { model, picture: '\u0001picture', question: asked.text, references };
  const json = JSON.stringify(body)
    .replace(/[\\`$]/g, '\\$&')
    .replaceAll('\\\\u0001', '$');
  const ofModel = model ? `?model=${encodeURIComponent(model)}` : '';
  const type = sheet.file.type || 'application/octet-stream';
  return [
    `picture=$(curl -s ${quoted(`${address}/v1/pictures${ofModel}`)} -H ${quoted(`Content-Type: ${type}`)} \\`,
    `  --data-binary ${quoted(`@${sheet.name}`)} | sed 's/.*"id":"\\([^"]*\\)".*/\\1/')`,
    `curl -s ${address}/v1/${asked.goal} -H 'Content-Type: application/json' -d @- <<END`,
    json,
    'END',
  ].join('\n');
}
