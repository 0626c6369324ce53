// Messages between the page and the worker that computes.

/** A call of the model. */
export type Call =
  | { method: 'info' }
  | { method: 'encode'; file: Blob }
  | { method: 'ask'; goal: string; question: string }
  | { method: 'masks'; prompt: string };

/** To the worker: a call, or that nobody waits for one any more. */
export type Request = { id: number; call: Call } | { id: number; cancel: true };

/** From the worker. */
export type Reply =
  | { loading: number; all: number }
  | { id: number; text: string }
  | { id: number; result: any }
  /** A failure as the API answers it. */
  | { id: number; failure: { message: string; code: string } }
  /** The model cannot go on: files are missing, or it has a fault. */
  | { id: number; fault: string };
