// Engine of `anyref serve`, over HTTP.

import {
  type Answer,
  type EncodedPicture,
  type Engine,
  EngineError,
  type MaskPrompt,
  type ModelInfo,
  type Progress,
  type Question,
  type RefinableMask,
  TOKEN_NEEDED,
} from './engine.ts';
import { maskRequest, modelInfo, questionRequest } from './requests.ts';

const TOKEN = 'anyref-token';

export class HttpEngine implements Engine {
  /** Name of the model, where it was chosen. */
  private model?: string;

  /** Address of the page itself, so that it works below any path. */
  constructor(private readonly base = new URL('.', document.baseURI)) {
    const given = /^#token=(.+)$/.exec(location.hash);
    if (given?.[1]) {
      this.useToken(decodeURIComponent(given[1]));
      history.replaceState(null, '', location.pathname + location.search);
    }
  }

  useToken(token: string): void {
    sessionStorage.setItem(TOKEN, token);
  }

  useModel(name: string): void {
    this.model = name;
  }

  async info(): Promise<ModelInfo> {
    const { data } = await this.json('v1/models', { method: 'GET' });
    const chosen = data.find(({ id }: any) => id === this.model) ?? data[0];
    const models = data.map(({ id }: any) => id);
    return { ...modelInfo(chosen, models), address: this.base.href.replace(/\/$/, '') };
  }

  async encode(file: Blob, signal: AbortSignal): Promise<EncodedPicture> {
    const type = file.type || 'application/octet-stream';
    const headers = { 'Content-Type': type };
    const { model } = this;
    const path = `v1/pictures${model ? `?model=${encodeURIComponent(model)}` : ''}`;
    const made = await this.json(path, { method: 'POST', body: file, headers, signal });
    return { id: made.id, encoding: made.timing_ms.image, model };
  }

  async answer(
    picture: EncodedPicture,
    question: Question,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Answer> {
    const body = JSON.stringify(await questionRequest(picture, question, true));
    const headers = { 'Content-Type': 'application/json' };
    const path = `v1/${question.goal}`;
    const response = await this.send(path, { method: 'POST', body, headers, signal });
    for await (const { event, data } of events(response, signal)) {
      const content = JSON.parse(data);
      if (event === 'text') {
        progress.text?.(content.text);
      } else if (event === 'mask') {
        progress.mask?.(content);
      } else if (event === 'final') {
        return content;
      } else if (event === 'error') {
        throw new EngineError(content.error.message, content.error.code);
      }
    }
    throw new EngineError('The server ended its answer early. Ask again.', 'ended');
  }

  async mask(
    picture: EncodedPicture,
    prompt: MaskPrompt,
    signal: AbortSignal,
  ): Promise<RefinableMask> {
    const body = JSON.stringify(maskRequest(picture, prompt));
    const headers = { 'Content-Type': 'application/json' };
    const made = await this.json('v1/masks', { method: 'POST', body, headers, signal });
    return made.masks[0];
  }

  private async json(path: string, request: RequestInit): Promise<any> {
    return (await this.send(path, request)).json();
  }

  private async send(path: string, request: RequestInit): Promise<Response> {
    const headers = new Headers(request.headers);
    const token = sessionStorage.getItem(TOKEN);
    if (token) {
      headers.set('Authorization', `Bearer ${token}`);
    }
    let response: Response;
    try {
      response = await fetch(new URL(path, this.base), { ...request, headers });
    } catch (error) {
      if (request.signal?.aborted) {
        throw error;
      }
      const help = 'The server does not answer. Check that “anyref serve” still runs, then try again.';
      throw new EngineError(help, 'offline');
    }
    if (response.ok) {
      return response;
    }
    throw await failure(response);
  }
}

/** Engine of the page. */
export function createEngine(): Engine {
  return new HttpEngine();
}

async function failure(response: Response): Promise<EngineError> {
  const after = Number(response.headers.get('Retry-After')) || undefined;
  if (response.status === 401) {
    return new EngineError('This server asks for its token.', TOKEN_NEEDED);
  }
  try {
    const { error } = await response.json();
    return new EngineError(error.message, error.code, after);
  } catch {
    const text = `The server answered ${response.status} without a reason. Try again, or see its log.`;
    return new EngineError(text, 'unknown', after);
  }
}

/** Parses the server-sent events of a response. */
async function* events(
  response: Response,
  signal: AbortSignal,
): AsyncGenerator<{ event: string; data: string }> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let buffer = '';
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      buffer += decoder.decode(value, { stream: true });
      for (let end = buffer.indexOf('\n\n'); end >= 0; end = buffer.indexOf('\n\n')) {
        const lines = buffer.slice(0, end).split('\n');
        buffer = buffer.slice(end + 2);
        const field = (name: string) =>
          lines
            .filter((line) => line.startsWith(`${name}:`))
            .map((line) => line.slice(name.length + 1).replace(/^ /, ''))
            .join('\n');
        const data = field('data');
        if (data) {
          yield { event: field('event'), data };
        }
      }
    }
  } catch (error) {
    if (signal.aborted) {
      throw error;
    }
    throw new EngineError('The connection to the server broke. Ask again.', 'offline');
  } finally {
    reader.cancel().catch(() => {});
  }
}
