// Picture with masks, boxes and points over it.

import { BoxDrawing } from './box_drawing.ts';
import { announce, button, h, icon, svg } from './dom.ts';
import { add } from './draft.ts';
import type { Explanation, Point } from './engine.ts';
import { paint } from './palette.ts';
import type { Reference, Store, Turn } from './state.ts';

/** Actions that the stage requests from the rest of the page. */
export interface StageActions {
  addPicture(): void;
  refine(turn: Turn, mask: number, point: Point): void;
}

export class Stage {
  readonly element: HTMLElement;
  private readonly canvas = h('canvas', { 'aria-hidden': 'true' });
  private readonly marks = svg('svg', { class: 'marks', 'aria-hidden': 'true' });
  private readonly fixed = svg('g');
  private readonly surface: HTMLElement;
  private readonly boxes: BoxDrawing;
  private readonly caption = h('p', { class: 'caption' });
  private readonly hint = h('p', { class: 'hint', id: 'stage-hint' });
  private readonly controls: HTMLElement;
  private readonly opacity: HTMLInputElement;
  private readonly outline: HTMLButtonElement;
  private readonly cutOut: HTMLButtonElement;
  private readonly side: HTMLButtonElement;

  constructor(
    private readonly store: Store,
    private readonly actions: StageActions,
  ) {
    this.surface = h(
      'div',
      {
        class: 'surface',
        tabindex: 0,
        role: 'application',
        'aria-label': 'Picture',
        'aria-describedby': 'stage-hint',
      },
      this.canvas,
      this.marks,
    );
    this.marks.append(this.fixed);
    this.boxes = new BoxDrawing({
      element: this.surface,
      marks: this.marks,
      size: () => store.current && [store.current.width, store.current.height],
      active: () => store.tool === 'box',
      done: (box) => {
        store.remember();
        const sheet = store.current!;
        sheet.draft = add(sheet.draft, { input: { kind: 'box', box } });
        store.tool = 'look';
        announce(`Box ${box.join(', ')} is reference ${sheet.draft.references.length}.`);
        store.changed();
        document.getElementById('question')?.focus();
      },
    });
    this.surface.addEventListener('pointermove', (event) => this.hover(event));
    this.surface.addEventListener('pointerleave', () => this.light(undefined));
    this.surface.addEventListener('click', (event) => this.click(event));
    this.surface.addEventListener('contextmenu', (event) => this.menu(event));

    const view = () => {
      store.view.opacity = Number(this.opacity.value) / 100;
      this.draw();
    };
    this.opacity = h('input', { type: 'range', min: 0, max: 100, value: 50, oninput: view });
    this.opacity.setAttribute('aria-label', 'Opacity of masks');
    const toggle = (name: 'outline' | 'cutOut') => () => {
      store.view[name] = !store.view[name];
      store.changed();
    };
    this.outline = button('outline', 'Outline', toggle('outline'));
    this.cutOut = button('cut', 'Cut out', toggle('cutOut'));
    this.side = button('plus', 'On the thing', () => {
      store.pointsOn = !store.pointsOn;
      store.changed();
    });
    const range = h('label', { class: 'opacity' }, h('span', {}, 'Opacity'), this.opacity);
    this.controls = h('div', { class: 'controls' }, range, this.outline, this.cutOut, this.side);
    this.element = h(
      'section',
      { class: 'stage', 'aria-label': 'Picture and masks' },
      h('div', { class: 'frame' }, this.surface),
      h('div', { class: 'under' }, this.caption, this.controls),
      this.hint,
    );
    new ResizeObserver(() => this.layout()).observe(this.element);
    store.onChange(() => this.update());
  }

  focus(): void {
    this.surface.focus();
  }

  private update(): void {
    const { store } = this;
    const sheet = store.current;
    this.element.hidden = !sheet;
    if (!sheet) {
      return;
    }
    if (store.tool !== 'box') {
      this.boxes.cancel();
    }
    const masks = store.shown?.masks.length ?? 0;
    this.controls.hidden = masks === 0 && store.tool !== 'points';
    this.outline.setAttribute('aria-pressed', `${store.view.outline}`);
    this.cutOut.setAttribute('aria-pressed', `${store.view.cutOut}`);
    this.side.hidden = store.tool !== 'points';
    this.side.querySelector('span')!.textContent = store.pointsOn ? 'On the thing' : 'Beside it';
    this.side.setAttribute('aria-pressed', `${store.pointsOn}`);
    this.surface.dataset.tool = store.tool;
    this.surface.setAttribute('aria-label', `Picture ${sheet.name}, ${describe(store.shown)}`);
    this.caption.textContent = `${sheet.name} · ${sheet.width} × ${sheet.height}`;
    this.hint.textContent = {
      look: '',
      box: 'Drag from corner to corner. With the keyboard: arrow keys, and Enter at two corners.',
      points: store.shown?.state === 'answered' && store.shown.masks.length && !sheet.draft.references.length
        ? 'Click what the mask misses; a right click, or Alt and a click, takes away.'
        : 'Click on the thing. A right click, or Alt and a click, says what is not part of it.',
    }[store.tool];
    this.layout();
  }

  /** Fits the picture into the available space. */
  private layout(): void {
    const sheet = this.store.current;
    if (!sheet) {
      return;
    }
    const frame = this.surface.parentElement!;
    const room = { width: frame.clientWidth, height: frame.clientHeight };
    const scale = Math.min(room.width / sheet.width, room.height / sheet.height);
    const [width, height] = [sheet.width, sheet.height].map((side) =>
      Math.max(1, Math.floor(side * scale)),
    ) as [number, number];
    this.surface.style.width = `${width}px`;
    this.surface.style.height = `${height}px`;
    this.marks.setAttribute('viewBox', `0 0 ${sheet.width} ${sheet.height}`);
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * ratio);
    this.canvas.height = Math.round(height * ratio);
    this.draw();
  }

  /** Redraws picture and masks. */
  draw(): void {
    const { store, canvas } = this;
    const sheet = store.current;
    const context = canvas.getContext('2d');
    if (!sheet || !context) {
      return;
    }
    const scale = canvas.width / sheet.width;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, canvas.width, canvas.height);
    context.imageSmoothingQuality = 'high';
    const turn = store.shown;
    const masks = turn?.masks.filter(({ visible }) => visible) ?? [];
    const lit = store.highlight === undefined ? undefined : turn?.masks[store.highlight];
    context.setTransform(scale, 0, 0, canvas.height / sheet.height, 0, 0);
    if (store.view.cutOut && masks.length) {
      const all = new Path2D();
      (lit ? [lit] : masks).forEach(({ outline }) => all.addPath(outline));
      context.globalAlpha = 0.08;
      context.drawImage(sheet.image, 0, 0, sheet.width, sheet.height);
      context.globalAlpha = 1;
      context.save();
      context.clip(all, (lit ? [lit] : masks).length === 1 ? 'evenodd' : 'nonzero');
      context.drawImage(sheet.image, 0, 0, sheet.width, sheet.height);
      context.restore();
    } else {
      context.drawImage(sheet.image, 0, 0, sheet.width, sheet.height);
    }
    const heat = store.heat === undefined ? undefined : turn?.answer?.explanations?.[store.heat];
    if (heat) {
      this.drawHeat(context, heat, sheet.width, sheet.height);
    }
    for (const mask of masks) {
      const faint = lit && lit !== mask ? 0.25 : 1;
      context.fillStyle = context.strokeStyle = paint(mask.colour);
      if (!store.view.cutOut && !heat) {
        const opacity = lit === mask ? Math.max(0.7, store.view.opacity) : store.view.opacity;
        context.globalAlpha = opacity * faint;
        context.fill(mask.outline, 'evenodd');
      }
      if (store.view.outline) {
        context.globalAlpha = faint;
        context.lineJoin = 'round';
        context.lineWidth = ((lit === mask ? 3 : 2) * (devicePixelRatio || 1)) / scale;
        context.stroke(mask.outline);
      }
    }
    context.globalAlpha = 1;
    this.drawMarks();
  }

  private drawHeat(
    context: CanvasRenderingContext2D,
    heat: Explanation,
    width: number,
    height: number,
  ): void {
    const small = h('canvas', { width: heat.side, height: heat.side });
    const pixels = small.getContext('2d')!.createImageData(heat.side, heat.side);
    const most = Math.max(...heat.patches) || 1;
    heat.patches.forEach((share, i) => {
      const warm = Math.sqrt(share / most);
      pixels.data.set([255, 200 * warm, 40, 215 * warm], i * 4);
    });
    small.getContext('2d')!.putImageData(pixels, 0, 0);
    context.fillStyle = 'rgb(8 8 30 / 55%)';
    context.fillRect(0, 0, width, height);
    context.drawImage(small, 0, 0, width, height);
  }

  private drawMarks(): void {
    const { store } = this;
    const sheet = store.current;
    const turn = store.shown;
    this.fixed.replaceChildren();
    const unit = sheet ? sheet.width / Math.max(1, this.surface.clientWidth) : 1;
    this.marks.style.setProperty('--unit', `${unit}`);
    const shown: [Reference[], boolean][] = [[sheet?.draft.references ?? [], false]];
    if (turn && !sheet?.draft.references.length) {
      const asked = turn.draft.references;
      // Points of a mask are drawn with it.
      const others = asked.map((one) =>
        one.input.kind === 'points' && turn.masks[0]?.points.length
          ? { ...one, input: { ...one.input, points: [] } }
          : one,
      );
      shown.push([others, true]);
      turn.masks.forEach(({ points, visible }) => visible && this.dots(points, unit));
    }
    for (const [references, past] of shown) {
      references.forEach((reference, i) => this.mark(reference, i, past, unit));
    }
  }

  private mark({ input }: Reference, index: number, past: boolean, unit: number): void {
    const tone = paint(index);
    const label = (x: number, y: number) => {
      const text = svg('text', { x, y, class: 'number', fill: tone, 'font-size': 14 * unit });
      text.textContent = `${index + 1}`;
      return text;
    };
    if (input.kind === 'box') {
      const [x, y, right, bottom] = input.box;
      const place = { x, y, width: right - x, height: bottom - y };
      const style = past ? 'past box' : 'box';
      this.fixed.append(svg('rect', { ...place, class: `${style} halo` }));
      const frame = svg('rect', { ...place, class: style });
      frame.style.stroke = tone;
      this.fixed.append(frame);
      this.fixed.append(label(x + 5 * unit, y + 16 * unit));
    } else if (input.kind === 'points') {
      this.dots(input.points, unit);
    }
  }

  private dots(points: Point[], unit: number): void {
    for (const { x, y, on } of points) {
      const dot = svg('circle', { cx: x, cy: y, r: 6 * unit, class: on ? 'dot on' : 'dot off' });
      this.fixed.append(dot);
    }
  }

  private maskAt(event: MouseEvent): number | undefined {
    const masks = this.store.shown?.masks ?? [];
    const [x, y] = this.boxes.at(event).map(Math.floor) as [number, number];
    const at = masks.findIndex(
      ({ bitmap, visible }) => visible && bitmap.pixels[y * bitmap.width + x] === 1,
    );
    return at < 0 ? undefined : at;
  }

  private hover(event: PointerEvent): void {
    if (this.store.tool === 'look' && event.pointerType !== 'touch') {
      this.light(this.maskAt(event));
    }
  }

  private light(mask: number | undefined): void {
    if (this.store.highlight !== mask) {
      this.store.highlight = mask;
      this.store.changed();
    }
  }

  private click(event: MouseEvent): void {
    const { tool } = this.store;
    if (tool === 'points') {
      this.point(event, event.altKey ? !this.store.pointsOn : this.store.pointsOn);
    } else if (tool === 'look') {
      this.light(this.maskAt(event));
    }
  }

  private menu(event: MouseEvent): void {
    if (this.store.tool === 'points') {
      event.preventDefault();
      this.point(event, !this.store.pointsOn);
    }
  }

  /** Adds a point to the question, or to the mask that is being refined. */
  private point(event: MouseEvent, on: boolean): void {
    const { store } = this;
    const sheet = store.current!;
    const [x, y] = this.boxes.at(event).map((side) => Math.round(side * 10) / 10) as [
      number,
      number,
    ];
    const point = { x, y, on };
    const turn = store.shown;
    if (turn?.state === 'answered' && turn.masks.length && !sheet.draft.references.length) {
      const under = this.maskAt(event);
      const last = turn.masks.findLastIndex(({ points }) => points.length > 0);
      this.actions.refine(turn, under ?? Math.max(0, last), point);
      return;
    }
    store.remember();
    const { draft } = sheet;
    const last = draft.references.at(-1);
    if (last?.input.kind === 'points') {
      const input = { ...last.input, points: [...last.input.points, point] };
      const references = [...draft.references.slice(0, -1), { ...last, input }];
      sheet.draft = { ...draft, references };
    } else {
      sheet.draft = add(draft, { input: { kind: 'points', points: [point] } });
    }
    announce(`Point ${on ? 'on' : 'beside'} the thing at ${Math.round(x)}, ${Math.round(y)}.`);
    store.changed();
  }
}

function describe(turn?: Turn): string {
  const count = turn?.masks.length ?? 0;
  return count ? `${count} ${count === 1 ? 'mask' : 'masks'} shown` : 'no masks shown';
}

/** Drop target for a picture while there is none. */
export function welcome(
  actions: StageActions,
  scenes: HTMLElement,
  knows: HTMLElement,
): HTMLElement {
  const choose = button('picture', 'Choose a picture', () => actions.addPicture());
  choose.classList.add('primary');
  return h(
    'section',
    { class: 'welcome', 'aria-label': 'Begin' },
    h(
      'div',
      { class: 'drop' },
      h('div', { class: 'drop-icon' }, icon('picture')),
      h('h1', {}, 'Point at things in pictures'),
      h('p', { class: 'lead' }, 'By words, a box, another picture or a sound. You get a sentence, and a mask of each thing in it.'),
      choose,
      h('p', { class: 'quiet' }, 'or drop one anywhere on this page, or paste it'),
    ),
    h('h2', {}, 'Or begin with a scene'),
    scenes,
    knows,
  );
}
