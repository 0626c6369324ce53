// Colours of masks and references, of the style sheet.

import { COLOURS } from './state.ts';

/** The colour of this number over pictures. */
export function paint(number: number): string {
  const name = `--paint-${(number % COLOURS) + 1}`;
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The colour of this number beside text, for style properties. */
export function tone(number: number): string {
  return `var(--mask-${(number % COLOURS) + 1})`;
}
