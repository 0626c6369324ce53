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
import type { Call, Form, Reply, Request } from './wasm_calls.ts';

interface Waiting {
  call: Call;
  resolve(result: any): void;
  reject(error: Error): void;
  progress?: Progress;
}

export class WasmEngine implements Engine {
  onLoading?: (bytes: number, all: number) => void;
  onNotice?: (line: string) => void;
  private form: Form = 'flex';
  /** Whether WebGPU failed, so that further workers compute on the processor. */
  private gpuFailed = false;
  private worker?: Worker;
  private readonly waiting = new Map<number, Waiting>();
  private last = 0;

  async info(): Promise<ModelInfo> {
    const info = modelInfo(await this.call({ method: 'info' }));
    return { ...info, backend: this.backend() };
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

  private backend(): string {
    if (this.form === 'webgpu') {
      return 'WebGPU in this browser';
    }
    return this.gpuFailed ? 'this browser, since WebGPU does not work here' : 'this browser';
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
      this.waiting.set(id, { call, resolve, reject, progress });
      this.send({ id, call });
    });
  }

  private send(request: Request): void {
    if (!this.worker) {
      const script = new URL('worker.js', document.baseURI);
      const form = this.gpuFailed ? 'flex' : new URL(document.URL).searchParams.get('form');
      if (form) {
        script.searchParams.set('form', form);
      }
      this.form = 'flex';
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
    if ('form' in reply) {
      this.form = reply.form;
      if (reply.reason) {
        this.leaveGpu(reply.reason);
      }
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
    const stopped = [...this.waiting];
    this.waiting.clear();
    const onGpu = this.form === 'webgpu';
    if (onGpu) {
      this.leaveGpu(fault);
    }
    for (const [id, waiting] of stopped) {
      // What does not build on an earlier call is asked again, where another form may do it.
      if (onGpu && (waiting.call.method === 'info' || waiting.call.method === 'encode')) {
        this.waiting.set(id, waiting);
        this.send({ id, call: waiting.call });
      } else {
        waiting.reject(new EngineError(`The model stopped in this page: ${fault} Try again; it is loaded anew.`, 'fault'));
      }
    }
  }

  /** Computes on the processor from now on. */
  private leaveGpu(reason: string): void {
    this.gpuFailed = true;
    this.onNotice?.(`WebGPU does not work here, so the processor answers. ${reason}`);
  }
}

/** Engine of the page. */
export function createEngine(): Engine {
  return new WasmEngine();
}
