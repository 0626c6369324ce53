// Drawing of boxes over a picture, by a pointer or by the keyboard.

import { announce, svg } from './dom.ts';
import type { Box } from './engine.ts';

/** Picture on the screen on which boxes are drawn. */
export interface Surface {
  element: HTMLElement;
  marks: SVGElement;
  /** Width and height of the picture in pixels; undefined without a picture. */
  size(): [number, number] | undefined;
  /** Whether boxes can be drawn now. */
  active(): boolean;
  done(box: Box): void;
}

/** Smallest side of a box, in pixels on the screen. */
const SMALLEST = 4;

/** Draws boxes: from pointer down to up, or by arrow keys with Enter at two corners. */
export class BoxDrawing {
  private from?: [number, number];
  private to?: [number, number];
  private cursor?: [number, number];
  private readonly rubber = svg('rect', { class: 'rubber', hidden: 'true' });
  private readonly cross = svg('path', { class: 'cross', hidden: 'true' });

  constructor(private readonly surface: Surface) {
    surface.marks.append(this.rubber, this.cross);
    const { element } = surface;
    element.addEventListener('pointerdown', (event) => this.down(event));
    element.addEventListener('pointermove', (event) => this.move(event));
    element.addEventListener('pointerup', (event) => this.up(event));
    element.addEventListener('pointercancel', () => this.cancel());
    element.addEventListener('keydown', (event) => this.key(event));
    element.addEventListener('blur', () => this.cancel());
  }

  /** Pixel of the picture under a pointer, within the picture. */
  at(event: { clientX: number; clientY: number }): [number, number] {
    const [width, height] = this.surface.size() ?? [1, 1];
    const place = this.surface.element.getBoundingClientRect();
    const x = ((event.clientX - place.left) / place.width) * width;
    const y = ((event.clientY - place.top) / place.height) * height;
    return [Math.min(width, Math.max(0, x)), Math.min(height, Math.max(0, y))];
  }

  /** Cancels the box that is being drawn. */
  cancel(): void {
    this.from = this.to = this.cursor = undefined;
    this.draw();
  }

  private down(event: PointerEvent): void {
    if (!this.surface.active() || event.button !== 0) {
      return;
    }
    event.preventDefault();
    this.surface.element.setPointerCapture(event.pointerId);
    this.cursor = undefined;
    this.from = this.to = this.at(event);
    this.draw();
  }

  private move(event: PointerEvent): void {
    if (this.from && !this.cursor) {
      this.to = this.at(event);
      this.draw();
    }
  }

  private up(event: PointerEvent): void {
    if (this.from && !this.cursor) {
      this.to = this.at(event);
      this.finish();
    }
  }

  private finish(): void {
    const [from, to, size] = [this.from, this.to, this.surface.size()];
    this.cancel();
    if (!from || !to || !size) {
      return;
    }
    const shown = this.surface.element.getBoundingClientRect().width / size[0];
    const [left, right] = [from[0], to[0]].sort((a, b) => a - b) as [number, number];
    const [top, bottom] = [from[1], to[1]].sort((a, b) => a - b) as [number, number];
    if ((right - left) * shown < SMALLEST || (bottom - top) * shown < SMALLEST) {
      announce('The box is too small. Drag from one corner to the opposite one.');
      return;
    }
    const box: Box = [Math.floor(left), Math.floor(top), Math.ceil(right), Math.ceil(bottom)];
    this.surface.done(box);
  }

  private key(event: KeyboardEvent): void {
    const size = this.surface.size();
    if (!this.surface.active() || !size) {
      return;
    }
    const step = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(...size) / 40));
    const moves: Record<string, [number, number]> = {
      ArrowLeft: [-step, 0],
      ArrowRight: [step, 0],
      ArrowUp: [0, -step],
      ArrowDown: [0, step],
    };
    const by = moves[event.key];
    if (by) {
      event.preventDefault();
      const [x, y] = this.cursor ?? [size[0] / 2, size[1] / 2];
      this.cursor = [
        Math.min(size[0], Math.max(0, Math.round(x + by[0]))),
        Math.min(size[1], Math.max(0, Math.round(y + by[1]))),
      ];
      this.to = this.from && this.cursor;
      announce(`${this.cursor[0]}, ${this.cursor[1]}`);
      this.draw();
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      this.cursor ??= [Math.round(size[0] / 2), Math.round(size[1] / 2)];
      if (this.from) {
        this.to = this.cursor;
        this.finish();
      } else {
        this.from = this.to = this.cursor;
        announce('First corner set. Move to the opposite corner and press Enter.');
        this.draw();
      }
    } else if (event.key === 'Escape' && (this.from || this.cursor)) {
      event.stopPropagation();
      this.cancel();
    }
  }

  private draw(): void {
    const { from, to, cursor } = this;
    this.rubber.toggleAttribute('hidden', !from || !to);
    if (from && to) {
      const place = {
        x: Math.min(from[0], to[0]),
        y: Math.min(from[1], to[1]),
        width: Math.abs(to[0] - from[0]),
        height: Math.abs(to[1] - from[1]),
      };
      Object.entries(place).forEach(([name, value]) => this.rubber.setAttribute(name, `${value}`));
    }
    this.cross.toggleAttribute('hidden', !cursor);
    const size = this.surface.size();
    if (cursor && size) {
      const [x, y] = cursor;
      this.cross.setAttribute('d', `M${x} 0V${size[1]}M0 ${y}H${size[0]}`);
    }
  }
}
