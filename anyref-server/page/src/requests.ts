// JSON of the API, over HTTP and in the browser alone.

import type { EncodedPicture, MaskPrompt, ModelInfo, Point, Question, ReferenceInput } from './engine.ts';
import { dataUrl } from './files.ts';

/** Model as listed by the API. */
export function modelInfo({ id, anyref }: any, models: string[] = [id]): ModelInfo {
  const { backend, takes, knows, refines, speaks } = anyref ?? UNKNOWN;
  return { name: id, backend, takes, knows, refines, speaks, models, loaded: Boolean(anyref) };
}

/** Facts assumed of a model that was never loaded. */
const UNKNOWN = {
  backend: '',
  takes: ['text', 'box', 'points', 'picture', 'sound'],
  knows: [],
  refines: true,
  speaks: true,
};

/** JSON of a prompt for a mask. */
export function maskRequest(picture: EncodedPicture, prompt: MaskPrompt): object {
  return {
    model: picture.model,
    picture: picture.id,
    ...pointFields(prompt.points),
    box: prompt.box,
    mask: prompt.mask && { size: prompt.mask.size, counts: prompt.mask.counts },
    low_res: prompt.lowRes,
  };
}

/** JSON of a question. */
export async function questionRequest(
  picture: EncodedPicture,
  question: Question,
  stream: boolean,
): Promise<object> {
  return {
    model: picture.model,
    picture: picture.id,
    question: question.text,
    references: await Promise.all(question.references.map(reference)),
    conversation: question.conversation,
    explain: question.explain || undefined,
    stream: stream || undefined,
  };
}

/** JSON of points. */
export function pointFields(points: Point[]): { points: number[][]; labels: number[] } {
  return {
    points: points.map(({ x, y }) => [x, y]),
    labels: points.map(({ on }) => (on ? 1 : 0)),
  };
}

async function reference(reference: ReferenceInput): Promise<object> {
  switch (reference.kind) {
    case 'text':
      return { type: 'text', text: reference.text };
    case 'box':
      return { type: 'box', box: reference.box };
    case 'points':
      return { type: 'points', ...pointFields(reference.points) };
    case 'picture': {
      const mask = reference.mask && (await dataUrl(reference.mask));
      const data = await dataUrl(reference.file);
      return { type: 'picture', data, box: reference.box, mask };
    }
    case 'sound':
      return { type: 'sound', data: await dataUrl(reference.file) };
  }
}
