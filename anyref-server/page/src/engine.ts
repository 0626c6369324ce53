// The model as the page sees it, over HTTP in `http_engine.ts` and in the browser alone in
// `wasm_engine.ts`. The import `#engine` is one of both, as the bundle is for a server or not.

import type { Bridge } from './bridge.ts';

/** Corners `x0, y0, x1, y1` in pixels, right and bottom exclusive. */
export type Box = [number, number, number, number];

/** A point in pixels, on the thing (`on`) or beside it. */
export interface Point {
  x: number;
  y: number;
  on: boolean;
}

/** Kinds of reference that a model may take. */
export type Kind = 'text' | 'box' | 'points' | 'picture' | 'sound';

/** A reference of a question. */
export type ReferenceInput =
  | { kind: 'text'; text: string }
  | { kind: 'box'; box: Box }
  | { kind: 'points'; points: Point[] }
  | { kind: 'picture'; file: Blob; box?: Box; mask?: Blob }
  | { kind: 'sound'; file: Blob };

/** Purpose of a question: masks, words for a box, or an answer that is written as it comes. */
export type Goal = 'segment' | 'describe' | 'chat';

/** A question about a picture. */
export interface Question {
  goal: Goal;
  /** With `{1}` for the first reference; the default question where there is none. */
  text?: string;
  references: ReferenceInput[];
  /** Number of the conversation that it goes on with, of an earlier answer. */
  conversation?: string;
  /** Whether the attention behind the answer is wanted. */
  explain?: boolean;
}

/** A mask in COCO's compressed run lengths. */
export interface Mask {
  /** Height and width. */
  size: [number, number];
  counts: string;
  area: number;
  box: Box;
  /** The model's estimate of its IoU, 0 to 1. */
  score: number;
}

/** Words of an answer, with the number of the mask that they belong to. */
export interface Part {
  text: string;
  mask?: number;
}

/** A word that was read, with its share of the attention. */
export interface Word {
  text: string;
  attention: number;
}

/** Where the model looked for one mask. */
export interface Explanation {
  /** Patches along one side. */
  side: number;
  /** Share of each patch, row by row. */
  patches: number[];
  picture: number;
  words: Word[];
  references: number[];
}

export interface Answer {
  text: string;
  parts: Part[];
  masks: Mask[];
  /** Masks that the model is too unsure of. */
  left_out: number;
  /** References that the model was not trained with. */
  bridge?: Bridge[];
  timing_ms: Record<string, number>;
  conversation?: string;
  explanations?: Explanation[];
}

/** A model, and what it takes. */
export interface ModelInfo {
  name: string;
  backend: string;
  takes: Kind[];
  /** Names of things that it learned; none where it is open to all. */
  knows: string[];
  /** Whether an answered mask can be refined by points. */
  refines: boolean;
  /** Whether it answers in words; else it makes masks for points and boxes alone. */
  speaks: boolean;
  /** Address of the server, for commands; none where there is no server. */
  address?: string;
}

/** A prompt for the mask of one thing, without words. */
export interface MaskPrompt {
  points: Point[];
  box?: Box;
  /** A mask to be refined, of any answer about the picture. */
  mask?: Mask;
  /** The logits of an earlier answer to be refined, in its place. */
  lowRes?: string;
}

/** A mask that further points can refine. */
export interface RefinableMask extends Mask {
  low_res: string;
}

/** A picture that the engine has encoded. */
export interface EncodedPicture {
  id: string;
  /** Milliseconds. */
  encoding: number;
}

/** Called while an answer is under way. */
export interface Progress {
  /** A piece of the answer. */
  text?(piece: string): void;
}

/** An error that says what is wrong and what to do. */
export class EngineError extends Error {
  constructor(
    message: string,
    readonly code: string,
    /** Seconds after which another try makes sense. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** Error whose cure is a token. */
export const TOKEN_NEEDED = 'token';

/** Whatever answers questions. */
export interface Engine {
  /** Called while the model is loaded, with bytes so far and in all; of engines that load one. */
  onLoading?: (bytes: number, all: number) => void;
  /** Bears a token from now on; of engines that may need one. */
  useToken?(token: string): void;
  info(): Promise<ModelInfo>;
  /** Encodes a picture once, for all questions. */
  encode(file: Blob, signal: AbortSignal): Promise<EncodedPicture>;
  answer(
    picture: EncodedPicture,
    question: Question,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Answer>;
  /** The best mask for points, a box or an earlier mask. */
  mask(picture: EncodedPicture, prompt: MaskPrompt, signal: AbortSignal): Promise<RefinableMask>;
}
