// State of the page: pictures, questions and answers.

import type { Answer, EncodedPicture, Goal, Kind, Mask, Point, ReferenceInput } from './engine.ts';
import { type Bitmap, decode, rings, smooth } from './rle.ts';

/** Reference with its display. */
export interface Reference {
  id: number;
  input: ReferenceInput;
  /** File name, for commands. */
  name?: string;
  /** Data URL of a thumbnail. */
  thumbnail?: string;
  /** Loudness over time, 0 to 1. */
  wave?: number[];
}

/** Question that is being composed. */
export interface Draft {
  goal: Goal;
  text: string;
  references: Reference[];
}

/** Mask as it is drawn. */
export interface DrawnMask {
  bitmap: Bitmap;
  outline: Path2D;
  /** Number of its colour. */
  colour: number;
  visible: boolean;
  /** Points that refined it. */
  points: Point[];
  /** Refinable form of the mask. */
  lowRes?: string;
}

/** Question that was asked. */
export interface Turn {
  id: number;
  draft: Draft;
  state: 'waiting' | 'answered' | 'failed' | 'stopped';
  /** Words so far. */
  words: string;
  answer?: Answer;
  masks: DrawnMask[];
  error?: { message: string; code: string };
  stop: AbortController;
  /** Milliseconds from question to answer, measured by the page. */
  took?: number;
}

/** Picture with all questions about it. */
export interface Sheet {
  id: number;
  name: string;
  file: Blob;
  url: string;
  image: HTMLImageElement;
  width: number;
  height: number;
  encoded?: Promise<EncodedPicture>;
  turns: Turn[];
  draft: Draft;
  /** Id of the turn whose masks are shown. */
  shown?: number;
  conversation?: string;
  /** Questions to begin with. */
  examples: Example[];
  /** States for undo. */
  past: Past[];
}

/** State for undo. */
export interface Past {
  draft: Draft;
  turns: Turn[];
  /** Answer and masks of a turn before they were refined. */
  refined?: { turn: Turn; answer: Answer; masks: DrawnMask[] };
}

/** Suggested question. */
export interface Example {
  label: string;
  kind: Kind;
  make(): Promise<Draft>;
}

/** Display of masks. */
export interface View {
  opacity: number;
  outline: boolean;
  cutOut: boolean;
}

/** Effect of a pointer on the picture. */
export type Tool = 'look' | 'box' | 'points';

let last = 0;

/** Returns a unique number. */
export function fresh(): number {
  return ++last;
}

/** Empty question. */
export function emptyDraft(goal: Goal = 'segment'): Draft {
  return { goal, text: '', references: [] };
}

/** Masks of an answer, ready to be drawn. */
export function drawn(answer: Answer): DrawnMask[] {
  return answer.masks.map(drawnMask);
}

/** Mask with its number in an answer, ready to be drawn. */
export function drawnMask(mask: Mask, number: number): DrawnMask {
  return { ...outlined(mask), colour: number % COLOURS, visible: true, points: [] };
}

/** Pixels and smooth outline of a mask. */
export function outlined(mask: Mask): Pick<DrawnMask, 'bitmap' | 'outline'> {
  const bitmap = decode(mask);
  const outline = new Path2D();
  for (const ring of rings(bitmap).map(smooth)) {
    ring.forEach(([x, y], i) => (i ? outline.lineTo(x, y) : outline.moveTo(x, y)));
    outline.closePath();
  }
  return { bitmap, outline };
}

/** Number of colours of masks and references in the style sheet. */
export const COLOURS = 6;

/** State of the whole page, with the listeners to its changes. */
export class Store {
  sheets: Sheet[] = [];
  current?: Sheet;
  view: View = { opacity: 0.5, outline: true, cutOut: false };
  tool: Tool = 'look';
  /** Whether points lie on the object; a right click or Alt inverts it. */
  pointsOn = true;
  /** Number of the highlighted mask, in the turn that is shown. */
  highlight?: number;
  /** Number of the explanation drawn over the picture. */
  heat?: number;
  private listeners: (() => void)[] = [];

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  changed(): void {
    this.listeners.forEach((listener) => listener());
  }

  /** Turn whose masks are shown. */
  get shown(): Turn | undefined {
    return this.current?.turns.find(({ id }) => id === this.current?.shown);
  }

  /** Saves the current state before it changes; for a turn that is refined its masks too. */
  remember(refined?: Turn): void {
    const sheet = this.current;
    if (sheet) {
      const { draft, turns } = sheet;
      sheet.past.push({
        draft: { ...draft, references: [...draft.references] },
        turns: [...turns],
        refined: refined?.answer && {
          turn: refined,
          answer: refined.answer,
          masks: [...refined.masks],
        },
      });
      sheet.past.splice(0, sheet.past.length - 100);
    }
  }

  /** Restores the state before the last change. Answers that came since are kept. */
  undo(): boolean {
    const sheet = this.current;
    const before = sheet?.past.pop();
    if (!sheet || !before) {
      return false;
    }
    sheet.draft = before.draft;
    if (before.refined) {
      const { turn, answer, masks } = before.refined;
      Object.assign(turn, { answer, masks });
    }
    const gone = before.turns.filter((turn) => !sheet.turns.includes(turn));
    sheet.turns = [...sheet.turns, ...gone].sort((a, b) => a.id - b.id);
    this.changed();
    return true;
  }
}
