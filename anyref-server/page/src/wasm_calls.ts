// Messages between the page and the worker that computes.

/** Call of the model. */
export type Call =
  | { method: 'info' }
  | { method: 'encode'; file: Blob }
  | { method: 'ask'; goal: string; question: string }
  | { method: 'masks'; prompt: string };

/** Form of the program: the processor's, or that of a browser with WebGPU. */
export type Form = 'flex' | 'webgpu';

/** Message to the worker: a call, or its cancellation. */
export type Request = { id: number; call: Call } | { id: number; cancel: true };

/** Message from the worker. */
export type Reply =
  | { loading: number; all: number }
  /** Form of the program that is loaded, and the reason why it is no longer WebGPU's. */
  | { form: Form; reason?: string }
  | { id: number; text: string }
  | { id: number; result: any }
  /** Failure in the form of the API. */
  | { id: number; failure: { message: string; code: string } }
  /** Failure that stops the model: missing files, or a fault. */
  | { id: number; fault: string };
