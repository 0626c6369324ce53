// Pictures, questions and answers that the page holds.

import type { Answer, EncodedPicture, Goal, Kind, ReferenceInput } from './engine.ts';
import { type Bitmap, decode, rings, smooth } from './rle.ts';

/** A reference with what is shown of it. */
export interface Reference {
  id: number;
  input: ReferenceInput;
  /** File name, for commands. */
  name?: string;
  /** Address of a small picture. */
  thumbnail?: string;
  /** Loudness over time, 0 to 1. */
  wave?: number[];
}

/** A question that is being written. */
export interface Draft {
  goal: Goal;
  text: string;
  references: Reference[];
}

/** A mask as it is drawn. */
export interface DrawnMask {
  bitmap: Bitmap;
  outline: Path2D;
  /** Number among the colours. */
  colour: number;
  visible: boolean;
}

/** A question that was asked. */
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
  /** Milliseconds from asking to the answer, as the page sees it. */
  took?: number;
}

/** A picture with everything asked about it. */
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
  /** Number of the turn whose masks are shown. */
  shown?: number;
  conversation?: string;
  /** Questions to begin with. */
  examples: Example[];
  /** States that undo goes back to. */
  past: { draft: Draft; turns: Turn[] }[];
}

/** A question to begin with. */
export interface Example {
  label: string;
  kind: Kind;
  make(): Promise<Draft>;
}

/** How masks are shown. */
export interface View {
  opacity: number;
  outline: boolean;
  cutOut: boolean;
}

/** What a pointer on the picture does. */
export type Tool = 'look' | 'box' | 'points';

let last = 0;

/** A number that nothing else has. */
export function fresh(): number {
  return ++last;
}

/** A question without anything. */
export function emptyDraft(goal: Goal = 'segment'): Draft {
  return { goal, text: '', references: [] };
}

/** The masks of an answer, ready to be drawn. */
export function drawn(answer: Answer): DrawnMask[] {
  return answer.masks.map((mask, index) => {
    const bitmap = decode(mask);
    const outline = new Path2D();
    for (const ring of rings(bitmap).map(smooth)) {
      ring.forEach(([x, y], i) => (i ? outline.lineTo(x, y) : outline.moveTo(x, y)));
      outline.closePath();
    }
    return { bitmap, outline, colour: index % COLOURS, visible: true };
  });
}

/** Number of colours of masks and references in the style sheet. */
export const COLOURS = 6;

/** The state of the whole page, and whoever wants to know of its changes. */
export class Store {
  sheets: Sheet[] = [];
  current?: Sheet;
  view: View = { opacity: 0.5, outline: true, cutOut: false };
  tool: Tool = 'look';
  /** Whether points lie on the thing; a right click or Alt says the contrary. */
  pointsOn = true;
  /** Number of the mask that is pointed at, of the turn that is shown. */
  highlight?: number;
  /** Number of the explanation that is drawn over the picture. */
  heat?: number;
  private listeners: (() => void)[] = [];

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  changed(): void {
    this.listeners.forEach((listener) => listener());
  }

  /** The turn whose masks are shown. */
  get shown(): Turn | undefined {
    return this.current?.turns.find(({ id }) => id === this.current?.shown);
  }

  /** Remembers the present state, before it changes. */
  remember(): void {
    const sheet = this.current;
    if (sheet) {
      const { draft, turns } = sheet;
      sheet.past.push({
        draft: { ...draft, references: [...draft.references] },
        turns: [...turns],
      });
      sheet.past.splice(0, sheet.past.length - 100);
    }
  }

  /** Goes back to the state before the last change. Answers that came since are kept. */
  undo(): boolean {
    const sheet = this.current;
    const before = sheet?.past.pop();
    if (!sheet || !before) {
      return false;
    }
    sheet.draft = before.draft;
    const gone = before.turns.filter((turn) => !sheet.turns.includes(turn));
    sheet.turns = [...sheet.turns, ...gone].sort((a, b) => a.id - b.id);
    this.changed();
    return true;
  }
}
