// Worker that computes: loads the model, and answers one call after the other.

import type { Call, Form, Reply, Request } from './wasm_calls.ts';

/** Model, as bound by wasm-bindgen. */
interface Session {
  info(): string;
  encode(file: Uint8Array): Promise<string>;
  ask(goal: string, question: string, onText: (piece: string) => void): Promise<string>;
  masks(prompt: string): Promise<string>;
}

const scope = self as unknown as {
  postMessage(reply: Reply): void;
  onmessage: ((event: MessageEvent<Request>) => void) | null;
};
const FOLDER = new URL('.', self.location.href);

/** Downloads files of these sizes, reporting the progress. */
async function fetched(sizes: Record<string, number>): Promise<Record<string, Uint8Array>> {
  const all = Object.values(sizes).reduce((sum, size) => sum + size, 0);
  let bytes = 0;
  const one = async (name: string, size: number): Promise<[string, Uint8Array]> => {
    const response = await fetch(new URL(name, FOLDER));
    if (!response.ok || !response.body) {
      throw new Error(`The file ${name} is missing beside this page (${response.status}).`);
    }
    const content = new Uint8Array(size);
    const reader = response.body.getReader();
    let at = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        break;
      }
      if (at + value.length > size) {
        throw new Error(`The file ${name} has another size than it should: copy the folder again.`);
      }
      content.set(value, at);
      at += value.length;
      bytes += value.length;
      scope.postMessage({ loading: bytes, all });
    }
    if (at < size) {
      throw new Error(`The file ${name} came in part only. Load the page again.`);
    }
    return [name, content];
  };
  return Object.fromEntries(await Promise.all(Object.entries(sizes).map(([name, size]) => one(name, size))));
}

/** Name of each form's module. */
const MODULES: Record<Form, string> = { flex: 'anyref_web', webgpu: 'anyref_webgpu' };

/** Form that the page asks for, whatever the browser has. */
const asked = new URL(self.location.href).searchParams.get('form');

interface Adapter {
  info?: { isFallbackAdapter?: boolean };
  features: { has(name: string): boolean };
}

interface Gpu {
  requestAdapter(): Promise<Adapter | null>;
}

/**
 * Whether the browser gives a GPU that the program starts on, which times its kernels; one that is
 * a program on the processor only if asked for.
 */
async function hasGpu(): Promise<boolean> {
  try {
    const adapter = await (navigator as unknown as { gpu?: Gpu }).gpu?.requestAdapter();
    return Boolean(
      adapter?.features.has('timestamp-query') &&
        (asked === 'webgpu' || !adapter.info?.isFallbackAdapter),
    );
  } catch {
    return false;
  }
}

async function loadForm(form: Form, sizes: Record<string, number>): Promise<Session> {
  const files = await fetched(sizes);
  const name = MODULES[form];
  const glue = await import(new URL(`${name}.js`, FOLDER).href);
  await glue.default({ module_or_path: files[`${name}_bg.wasm`] });
  await glue.start();
  const known = new TextDecoder().decode(files['model/nouns.txt']);
  return new glue.WebSession(
    files['model/config.json'],
    files['model/tokenizer.json'],
    files['model/model.safetensors'],
    known,
  );
}

async function load(): Promise<Session> {
  const response = await fetch(new URL('files.json', FOLDER));
  if (!response.ok) {
    throw new Error('The file files.json is missing beside this page.');
  }
  const { flex, webgpu }: Partial<Record<Form, Record<string, number>>> = await response.json();
  if (!flex) {
    throw new Error('The file files.json belongs to another version: copy the folder again.');
  }
  if (webgpu && asked !== 'flex' && (await hasGpu())) {
    scope.postMessage({ form: 'webgpu' });
    try {
      return await loadForm('webgpu', webgpu);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      scope.postMessage({ form: 'flex', reason });
    }
  }
  return loadForm('flex', flex);
}

async function run(session: Session, id: number, call: Call): Promise<string> {
  switch (call.method) {
    case 'info':
      return session.info();
    case 'encode':
      return session.encode(new Uint8Array(await call.file.arrayBuffer()));
    case 'ask':
      return session.ask(call.goal, call.question, (text) => scope.postMessage({ id, text }));
    case 'masks':
      return session.masks(call.prompt);
  }
}

const loading = load();
const cancelled = new Set<number>();
let before: Promise<void> = Promise.resolve();

async function answer(id: number, call: Call): Promise<void> {
  // Lets a cancellation in that arrived during the previous call.
  await new Promise((resolve) => setTimeout(resolve));
  if (cancelled.delete(id)) {
    return;
  }
  try {
    scope.postMessage({ id, result: JSON.parse(await run(await loading, id, call)) });
  } catch (error) {
    if (typeof error === 'string') {
      scope.postMessage({ id, failure: JSON.parse(error).error });
    } else {
      scope.postMessage({ id, fault: error instanceof Error ? error.message : String(error) });
    }
  }
}

scope.onmessage = ({ data }) => {
  if ('cancel' in data) {
    cancelled.add(data.id);
  } else {
    before = before.then(() => answer(data.id, data.call));
  }
};
