// References in the text of a question.

import type { MaskPrompt, Question } from './engine.ts';
import { type Draft, type Reference, fresh } from './state.ts';

const PLACEHOLDER = /\{\s*(\d+)\s*\}/g;

/** Pieces of the question's text; a number stands for a reference. */
export function pieces(text: string, count: number): (string | number)[] {
  const found: (string | number)[] = [];
  let from = 0;
  for (const match of text.matchAll(PLACEHOLDER)) {
    const number = Number(match[1]);
    if (number >= 1 && number <= count) {
      found.push(text.slice(from, match.index), number);
      from = match.index + match[0].length;
    }
  }
  found.push(text.slice(from));
  return found.filter((piece) => piece !== '');
}

/** Adds a reference, and its placeholder at the cursor. */
export function add(draft: Draft, reference: Omit<Reference, 'id'>, cursor?: number): Draft {
  const references = [...draft.references, { ...reference, id: fresh() }];
  const at = cursor ?? draft.text.length;
  const [before, after] = [draft.text.slice(0, at), draft.text.slice(at)];
  const left = before && !/\s$/.test(before) ? ' ' : '';
  const right = after && !/^[\s,.?!;:]/.test(after) ? ' ' : '';
  const text = `${before}${left}{${references.length}}${right}${after}`;
  return { ...draft, references, text };
}

/** Removes a reference with its placeholder; later references are renumbered. */
export function remove(draft: Draft, index: number): Draft {
  const gone = index + 1;
  const text = draft.text
    .replace(PLACEHOLDER, (whole, digits) => {
      const number = Number(digits);
      return number === gone ? '' : number > gone ? `{${number - 1}}` : whole;
    })
    .replace(/ {2,}/g, ' ')
    .replace(/^ | (?=[,.?!])/g, '');
  return { ...draft, text, references: draft.references.filter((_, i) => i !== index) };
}

/** Moves a reference among the others; the question keeps its meaning. */
export function move(draft: Draft, from: number, to: number): Draft {
  const references = [...draft.references];
  const [moved] = references.splice(from, 1);
  if (!moved || to < 0 || to > references.length) {
    return draft;
  }
  references.splice(to, 0, moved);
  const text = draft.text.replace(PLACEHOLDER, (whole, digits) => {
    const reference = draft.references[Number(digits) - 1];
    return reference ? `{${references.indexOf(reference) + 1}}` : whole;
  });
  return { ...draft, text, references };
}

/** Question in the form of the engine's input. Words that are no sentence become one. */
export function question(draft: Draft, conversation?: string): Question {
  const references = draft.references.map(({ input }) => input);
  const shared = { goal: draft.goal, references, conversation };
  let text = draft.text.trim();
  const used = new Set(pieces(text, references.length).filter((piece) => typeof piece === 'number'));
  const unused = references.map((_, i) => i + 1).filter((number) => !used.has(number));
  const words = pieces(text, references.length).filter((piece) => typeof piece === 'string');
  const bare = words.every((word) => /^(\s|,|and)*$/.test(word));
  const ordered = [...used].every((number, i) => number === i + 1);
  if (bare && (ordered || used.size === 0)) {
    return shared;
  }
  if (unused.length) {
    const numbers = unused.map((number) => `{${number}}`).join(' and ');
    text = text.replace(/\s*([?.!]?)$/, ` ${numbers}$1`);
  }
  if (draft.goal !== 'chat' && !/[?.!]$/.test(text)) {
    text =
      draft.goal === 'segment'
        ? `Can you segment ${text} in this image?`
        : `Can you provide a description of ${text} in this image?`;
  }
  return { ...shared, text };
}

/** Prompt of a question that needs no words: points alone, or a box for a model without words. */
export function maskPrompt(draft: Draft, speaks: boolean): MaskPrompt | undefined {
  const points = draft.references.flatMap(({ input }) =>
    input.kind === 'points' ? input.points : [],
  );
  const boxes = draft.references.flatMap(({ input }) => (input.kind === 'box' ? [input.box] : []));
  if (!speaks) {
    return { points, box: boxes.at(-1) };
  }
  const alone = draft.references.length === 1 && points.length > 0;
  return draft.goal === 'segment' && alone && !question(draft).text ? { points } : undefined;
}

/** Reason why a question cannot be asked yet. */
export function missing(draft: Draft): string | undefined {
  if (!draft.text.trim() && !draft.references.length) {
    return draft.goal === 'describe'
      ? 'Draw a box around what should be described.'
      : 'Type what to look for, or point at it.';
  }
  if (draft.goal === 'describe' && !draft.references.length) {
    return 'Draw a box around what should be described.';
  }
  return undefined;
}
