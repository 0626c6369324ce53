// Engine of the browser alone: the model in WebAssembly, in a worker.

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
} from './engine.ts';
import { maskRequest, modelInfo, questionRequest } from './requests.ts';
import type { Call, Reply, Request } from './wasm_calls.ts';

interface Waiting {
  resolve(result: any): void;
  reject(error: Error): void;
  progress?: Progress;
}

export class WasmEngine implements Engine {
  onLoading?: (bytes: number, all: number) => void;
  private worker?: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  async info(): Promise<ModelInfo> {
    const info = modelInfo(await this.call({ method: 'info' }));
    return { ...info, backend: 'this browser' };
  }

  async encode(file: Blob, signal: AbortSignal): Promise<EncodedPicture> {
    return this.call({ method: 'encode', file }, signal);
  }

  async answer(
    picture: EncodedPicture,
    question: Question,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<Answer> {
    const asked = JSON.stringify(await questionRequest(picture, question, false));
    return this.call({ method: 'ask', goal: question.goal, question: asked }, signal, progress);
  }

  async mask(
    picture: EncodedPicture,
    prompt: MaskPrompt,
    signal: AbortSignal,
  ): Promise<RefinableMask> {
    const asked = JSON.stringify(maskRequest(picture, prompt));
    const made = await this.call({ method: 'masks', prompt: asked }, signal);
    return made.masks[0];
  }

  private call(call: Call, signal?: AbortSignal, progress?: Progress): Promise<any> {
    const id = ++this.last;
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      signal?.addEventListener('abort', () => {
        if (this.waiting.delete(id)) {
          this.send({ id, cancel: true });
          reject(signal.reason);
        }
      });
      this.waiting.set(id, { resolve, reject, progress });
      this.send({ id, call });
    });
  }

  private send(request: Request): void {
    if (!this.worker) {
      const script = new URL('worker.js', document.baseURI);
      this.worker = new Worker(script, { type: 'module' });
      this.worker.onmessage = ({ data }: MessageEvent<Reply>) => this.hear(data);
      this.worker.onerror = (event) => this.fail(event.message || 'The file worker.js is missing.');
    }
    this.worker.postMessage(request);
  }

  private hear(reply: Reply): void {
    if ('loading' in reply) {
      this.onLoading?.(reply.loading, reply.all);
      return;
    }
    if ('fault' in reply) {
      this.fail(reply.fault);
      return;
    }
    const waiting = this.waiting.get(reply.id);
    if ('text' in reply) {
      waiting?.progress?.text?.(reply.text);
      return;
    }
    this.waiting.delete(reply.id);
    if ('failure' in reply) {
      waiting?.reject(new EngineError(reply.failure.message, reply.failure.code));
    } else {
      waiting?.resolve(reply.result);
    }
  }

  /** Terminates the worker; the next call starts another one. */
  private fail(fault: string): void {
    this.worker?.terminate();
    this.worker = undefined;
    const stopped = [...this.waiting.values()];
    this.waiting.clear();
    for (const { reject } of stopped) {
      reject(new EngineError(`The model stopped in this page: ${fault} Try again; it is loaded anew.`, 'fault'));
    }
  }
}

/** Engine of the page. */
export function createEngine(): Engine {
  return new WasmEngine();
}
