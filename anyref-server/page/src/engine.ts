// Model as the page sees it, over HTTP in `http_engine.ts` and in the browser alone in
// `wasm_engine.ts`. The import `#engine` is one of both, depending on the bundle.

import type { Bridge } from './bridge.ts';

/** Corners `x0, y0, x1, y1` in pixels, right and bottom exclusive. */
export type Box = [number, number, number, number];

/** Point in pixels, on the object (`on`) or off it. */
export interface Point {
  x: number;
  y: number;
  on: boolean;
}

/** Kinds of references that a model may take. */
export type Kind = 'text' | 'box' | 'points' | 'picture' | 'sound';

/** Reference of a question. */
export type ReferenceInput =
  | { kind: 'text'; text: string }
  | { kind: 'box'; box: Box }
  | { kind: 'points'; points: Point[] }
  | { kind: 'picture'; file: Blob; box?: Box; mask?: Blob }
  | { kind: 'sound'; file: Blob };

/** Purpose of a question: masks, a description of a box, or an answer streamed in words. */
export type Goal = 'segment' | 'describe' | 'chat';

/** Question about a picture. */
export interface Question {
  goal: Goal;
  /** Text with `{1}` for the first reference; by default a default question. */
  text?: string;
  references: ReferenceInput[];
  /** Id of the conversation that it continues, from an earlier answer. */
  conversation?: string;
  /** Whether the attention behind the answer is requested. */
  explain?: boolean;
}

/** Mask in COCO's compressed run lengths. */
export interface Mask {
  /** Height and width in pixels. */
  size: [number, number];
  counts: string;
  area: number;
  box: Box;
  /** IoU estimated by the model, 0 to 1. */
  score: number;
}

/** Words of an answer, with the number of their mask. */
export interface Part {
  text: string;
  mask?: number;
}

/** Word of the input, with its share of the attention. */
export interface Word {
  text: string;
  attention: number;
}

/** Attention behind one mask. */
export interface Explanation {
  /** Number of patches along one side. */
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
  /** Number of masks left out because of their low estimated IoU. */
  left_out: number;
  /** References that the model was not trained with. */
  bridge?: Bridge[];
  timing_ms: Record<string, number>;
  conversation?: string;
  explanations?: Explanation[];
}

/** Model and its inputs. */
export interface ModelInfo {
  name: string;
  backend: string;
  takes: Kind[];
  /** Names of the objects that it was trained on; empty for an open vocabulary. */
  knows: string[];
  /** Whether an answered mask can be refined by points. */
  refines: boolean;
  /** Whether it answers in words; otherwise it only makes masks for points and boxes. */
  speaks: boolean;
  /** Names of the models to choose from, this one among them. */
  models: string[];
  /** Whether it is loaded; else the first question loads it, and tells what it takes. */
  loaded: boolean;
  /** Address of the server, for commands; undefined without a server. */
  address?: string;
}

/** Prompt for the mask of one object, without words. */
export interface MaskPrompt {
  points: Point[];
  box?: Box;
  /** Mask to be refined, from any answer about the picture. */
  mask?: Mask;
  /** Logits of an earlier answer to be refined, instead of a mask. */
  lowRes?: string;
}

/** Mask that further points can refine. */
export interface RefinableMask extends Mask {
  low_res: string;
}

/** Mask that is known before its answer is complete. */
export interface EarlyMask extends Mask {
  /** Number of the mask in the answer, from 0. */
  number: number;
}

/** Picture encoded by the engine. */
export interface EncodedPicture {
  id: string;
  /** Encoding time in milliseconds. */
  encoding: number;
  /** Model that encoded it, of engines with several. */
  model?: string;
}

/** Callbacks while an answer is generated. */
export interface Progress {
  /** Called with a piece of the answer. */
  text?(piece: string): void;
  /** Called with a mask as soon as it is known; by engines that know masks early. */
  mask?(mask: EarlyMask): void;
}

/** Error that states the problem and the remedy. */
export class EngineError extends Error {
  constructor(
    message: string,
    readonly code: string,
    /** Seconds after which a retry makes sense. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }
}

/** Error that a token would resolve. */
export const TOKEN_NEEDED = 'token';

/** Engine that answers questions. */
export interface Engine {
  /** Called while the model is loaded, with bytes so far and in all; for engines that load one. */
  onLoading?: (bytes: number, all: number) => void;
  /** Called with a line about a slower way of computing; for engines that have several. */
  onNotice?: (line: string) => void;
  /** Sets the token of further requests; for engines that may need one. */
  useToken?(token: string): void;
  /** Answers by the model of this name from now on; of engines with several. */
  useModel?(name: string): void;
  info(): Promise<ModelInfo>;
  /** Encodes a picture once, for all questions. */
  encode(file: Blob, signal: AbortSignal): Promise<EncodedPicture>;
  answer(
    picture: EncodedPicture,
    question: Question,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Answer>;
  /** Predicts the best mask for points, a box or an earlier mask. */
  mask(picture: EncodedPicture, prompt: MaskPrompt, signal: AbortSignal): Promise<RefinableMask>;
}
