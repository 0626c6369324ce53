// Colours of masks and references, from the style sheet.

import { COLOURS } from './state.ts';

/** Colour with this number over pictures. */
export function paint(number: number): string {
  const name = `--paint-${(number % COLOURS) + 1}`;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** Colour with this number beside text, for style properties. */
export function tone(number: number): string {
  return `var(--mask-${(number % COLOURS) + 1})`;
}
