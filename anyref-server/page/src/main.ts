// Page of `anyref serve`, and of the browser alone.

import { createEngine } from '#engine';
import { Composer } from './composer.ts';
import { announce, button, h, openDialog, toast } from './dom.ts';
import { add, maskPrompt, question } from './draft.ts';
import { type Answer, type EarlyMask, type Engine, EngineError, type ModelInfo, type Point, type RefinableMask, TOKEN_NEEDED } from './engine.ts';
import * as exporting from './export.ts';
import { choose, kindOf } from './files.ts';
import { showKnown } from './known.ts';
import { sheet as newSheet } from './pictures.ts';
import { mark } from './reference_picture.ts';
import { sceneButtons } from './scenes.ts';
import { readable, record, wave } from './sound.ts';
import { Stage, welcome } from './stage.ts';
import { type Draft, type Example, type Sheet, Store, type Tool, type Turn, drawn, drawnMask, emptyDraft, fresh, outlined } from './state.ts';
import { applyTheme, nextTheme } from './theme.ts';
import { Turns } from './turns.ts';

const store = new Store();
const engine: Engine = createEngine();
let model: ModelInfo | undefined;

/** Reports an error outside of a question. */
function complain(error: unknown): void {
  toast(error instanceof Error ? error.message : 'This did not work. Try again.');
}

// ---- pictures

async function open(file: File, examples: Example[] = []): Promise<void> {
  try {
    const sheet = await newSheet(file, examples);
    store.sheets.push(sheet);
    show(sheet);
    announce(`${sheet.name} is open.`);
    encode(sheet).catch(() => {});
    // On a touch screen it would bring up the keyboard.
    if (matchMedia('(hover: hover)').matches) {
      composer.focus();
    }
  } catch (error) {
    complain(error);
  } finally {
    document.querySelectorAll('.scene').forEach((scene) => scene.removeAttribute('aria-busy'));
  }
}

/** Encoded picture, encoded at the first call. */
function encode(sheet: Sheet) {
  sheet.encoded ??= engine.encode(sheet.file, new AbortController().signal);
  sheet.encoded.catch(() => (sheet.encoded = undefined));
  return sheet.encoded;
}

function show(sheet: Sheet | undefined): void {
  store.current = sheet;
  store.tool = 'look';
  store.highlight = store.heat = undefined;
  store.changed();
}

function close(sheet: Sheet): void {
  sheet.turns.forEach((turn) => turn.stop.abort());
  store.sheets = store.sheets.filter((other) => other !== sheet);
  URL.revokeObjectURL(sheet.url);
  show(store.sheets.at(-1));
}

async function addPicture(): Promise<void> {
  const file = await choose('image/*');
  if (file) {
    await open(file);
  }
}

// ---- references

async function addReferencePicture(file?: File): Promise<void> {
  const chosen = file ?? (await choose('image/*'));
  if (!chosen || !store.current) {
    return;
  }
  try {
    const marked = await mark(chosen);
    if (marked) {
      const { file, box, mask, thumbnail } = marked;
      addReference({ input: { kind: 'picture', file, box, mask }, name: file.name, thumbnail });
    }
  } catch (error) {
    complain(error);
  }
}

async function addSound(file?: File): Promise<void> {
  const chosen = file ?? (await choose('audio/*,.wav,.flac,.ogg,.mp3'));
  if (!chosen || !store.current) {
    return;
  }
  try {
    const sound = await readable(chosen);
    addReference({ input: { kind: 'sound', file: sound }, name: sound.name, wave: await wave(sound) });
  } catch (error) {
    complain(error);
  }
}

function addReference(reference: Parameters<typeof add>[1]): void {
  const sheet = store.current!;
  store.remember();
  sheet.draft = add(sheet.draft, reference, composer.place);
  store.changed();
  announce(`Reference ${sheet.draft.references.length} is added.`);
  composer.focus();
}

function startTool(tool: Tool): void {
  store.tool = tool;
  store.changed();
  stage.focus();
}

// ---- questions

function ask(draft: Draft = store.current!.draft): void {
  const sheet = store.current!;
  store.remember();
  const turn: Turn = {
    id: fresh(),
    draft,
    state: 'waiting',
    words: '',
    masks: [],
    stop: new AbortController(),
  };
  sheet.turns = [...sheet.turns, turn];
  if (draft === sheet.draft) {
    sheet.draft = emptyDraft(draft.goal);
  }
  store.tool = 'look';
  store.highlight = store.heat = undefined;
  store.changed();
  void answer(sheet, turn);
}

async function answer(sheet: Sheet, turn: Turn, explain = false): Promise<void> {
  const start = performance.now();
  const before = turn.masks;
  try {
    const conversation = turn.draft.goal === 'chat' ? sheet.conversation : undefined;
    const asked = { ...question(turn.draft, conversation), explain };
    const progress = {
      text: (piece: string) => {
        turn.words += piece;
        store.changed();
      },
      mask: (mask: EarlyMask) => {
        turn.masks = [...turn.masks.slice(0, mask.number), drawnMask(mask, mask.number)];
        sheet.shown = turn.id;
        store.highlight = store.heat = undefined;
        store.changed();
      },
    };
    const { signal } = turn.stop;
    const prompt = maskPrompt(turn.draft, model?.speaks ?? true);
    const given = await withPicture(sheet, (picture) =>
      prompt
        ? engine.mask(picture, prompt, signal).then(pointed)
        : engine.answer(picture, asked, progress, signal),
    );
    turn.answer = given;
    turn.masks = drawn(given);
    if (prompt) {
      turn.masks[0]!.points = prompt.points;
      turn.masks[0]!.lowRes = (given.masks[0] as RefinableMask).low_res;
    }
    turn.state = 'answered';
    if (!model?.loaded) {
      void connect();
    }
    turn.took = performance.now() - start;
    sheet.conversation = given.conversation ?? sheet.conversation;
    sheet.shown = turn.id;
    store.heat = explain ? 0 : undefined;
    const count = turn.masks.length === 1 ? '1 mask' : `${turn.masks.length} masks`;
    announce(`Answer: ${given.text} ${count}.`);
  } catch (error) {
    turn.masks = before;
    if (turn.stop.signal.aborted) {
      turn.state = 'stopped';
    } else {
      turn.state = 'failed';
      const code = error instanceof EngineError ? error.code : 'page';
      const message = error instanceof Error ? error.message : 'This did not work. Try again.';
      turn.error = { message, code };
      if (code === 'conversation_not_found') {
        sheet.conversation = undefined;
      }
      if (code === TOKEN_NEEDED) {
        askToken();
      }
    }
  }
  store.changed();
}

/** Answers a question without words. */
function pointed(mask: RefinableMask): Answer {
  return { text: '', parts: [], masks: [mask], left_out: 0, timing_ms: {} };
}

/** Adds a point to an answered mask. */
async function refine(turn: Turn, index: number, point: Point): Promise<void> {
  const sheet = store.current!;
  const mask = turn.masks[index]!;
  const points = [...mask.points, point];
  // An answer in words has no logits until a point has refined it.
  const answered = mask.lowRes ? undefined : turn.answer!.masks[index]!;
  const prompt = { points, mask: answered, lowRes: mask.lowRes };
  const refined = { ...mask, points };
  const shownFirst = turn.masks;
  turn.masks = turn.masks.with(index, refined);
  store.changed();
  try {
    const made = await withPicture(sheet, (picture) =>
      engine.mask(picture, prompt, turn.stop.signal),
    );
    turn.masks = shownFirst;
    store.remember(turn);
    const { answer } = turn;
    turn.answer = { ...answer!, masks: answer!.masks.with(index, made) };
    turn.masks = shownFirst.with(index, { ...refined, ...outlined(made), lowRes: made.low_res });
    announce(`The mask is refined by ${points.length === 1 ? '1 point' : `${points.length} points`}.`);
  } catch (error) {
    turn.masks = shownFirst;
    complain(error);
  }
  store.changed();
}

/** Uses the encoded picture; encodes it again if the server has dropped it. */
async function withPicture<T>(
  sheet: Sheet,
  run: (picture: Awaited<ReturnType<typeof encode>>) => Promise<T>,
): Promise<T> {
  try {
    return await run(await encode(sheet));
  } catch (error) {
    if (error instanceof EngineError && error.code === 'picture_not_found') {
      sheet.encoded = undefined;
      return run(await encode(sheet));
    }
    throw error;
  }
}

function restart(turn: Turn, explain = false): void {
  turn.state = 'waiting';
  turn.words = '';
  turn.error = undefined;
  turn.stop = new AbortController();
  store.changed();
  void answer(store.current!, turn, explain);
}

const turns = new Turns(store, {
  tryExample: (example) => {
    example
      .make()
      .then((draft) => ask(draft))
      .catch(complain);
  },
  again: (turn) => restart(turn),
  edit: (turn) => {
    store.remember();
    store.current!.draft = { ...turn.draft };
    store.changed();
    composer.focus();
  },
  remove: (turn) => {
    turn.stop.abort();
    store.remember();
    const sheet = store.current!;
    sheet.turns = sheet.turns.filter((other) => other !== turn);
    if (sheet.shown === turn.id) {
      sheet.shown = sheet.turns.at(-1)?.id;
    }
    store.highlight = store.heat = undefined;
    store.changed();
    toast('Removed. Undo brings it back.');
  },
  explain: (turn) => restart(turn, true),
  stop: (turn) => turn.stop.abort(),
  exports: (turn) => {
    const sheet = store.current!;
    const save = (run: () => void | Promise<void>) => () => {
      Promise.resolve(run()).catch(complain);
    };
    const copy = (text: string, name: string) => () => {
      navigator.clipboard.writeText(text).then(
        () => toast(`The ${name} is copied.`),
        () => showText(name, text),
      );
    };
    const entries: [string, () => void][] = [
      ['Masks as PNG', save(() => exporting.saveMasks(sheet, turn))],
      ['Cut-out with transparency', save(() => exporting.saveCutOut(sheet, turn))],
      ['COCO JSON', save(() => exporting.saveCoco(sheet, turn))],
      ['SVG', save(() => exporting.saveSvg(sheet, turn))],
      ['Copy as command line', copy(exporting.commandLine(sheet, turn), 'command line')],
    ];
    if (model?.address) {
      const command = exporting.curl(sheet, turn, model.address, model.models.length > 1 ? model.name : undefined);
      entries.push(['Copy as curl', copy(command, 'curl command')]);
    }
    return entries;
  },
  showKnown: () => known(),
});

/** Shows text that could not be copied automatically. */
function showText(name: string, text: string): void {
  openDialog(`The ${name}`, h('div', { class: 'dialog-body' }, h('pre', {}, text)));
}

const stage = new Stage(store, {
  addPicture,
  refine: (turn, mask, point) => void refine(turn, mask, point),
});
const composer = new Composer(store, {
  ask: () => ask(),
  addReferencePicture: () => void addReferencePicture(),
  addSound: () => void addSound(),
  recordSound: async () => {
    const file = await record();
    if (file) {
      await addSound(file);
    }
  },
  undo,
  startTool,
});

function undo(): void {
  announce(store.undo() ? 'Undone.' : 'There is nothing to undo.');
}

// ---- the frame around

const badge = h('button', { type: 'button', class: 'model', onclick: () => known(), title: 'What the model knows' }, 'connecting …');
const models = h('select', { class: 'models', 'aria-label': 'Model', hidden: true, onchange: () => useModel(models.value) });
const strip = h('nav', { class: 'strip', 'aria-label': 'Pictures' });

function known(): void {
  const use = (name: string) => {
    const { draft } = store.current!;
    store.remember();
    const text = draft.text ? `${draft.text} ${name}` : `the ${name}`;
    store.current!.draft = { ...draft, text };
    store.changed();
    composer.focus();
  };
  showKnown(model, store.current && use);
}

/** Asks another model from now on, which encodes the pictures anew. */
function useModel(name: string): void {
  engine.useModel?.(name);
  for (const sheet of store.sheets) {
    sheet.encoded = sheet.conversation = undefined;
  }
  void connect();
}

function drawStrip(): void {
  strip.hidden = store.sheets.length === 0;
  strip.replaceChildren(
    ...store.sheets.map((sheet) => {
      const current = sheet === store.current;
      const pick = h(
        'button',
        {
          type: 'button',
          class: 'thumb',
          'aria-label': sheet.name,
          'aria-current': current ? 'true' : undefined,
          onclick: () => show(sheet),
        },
        h('img', { src: sheet.url, alt: '' }),
      );
      const closing = button('close', `Close ${sheet.name}`, () => close(sheet), { bare: true });
      return h('span', { class: 'thumb-place' }, pick, closing);
    }),
    button('plus', 'New picture', () => show(undefined), { class: 'add' }),
  );
}

/** Of a server's API. */
const docs = h('a', { href: 'docs', class: 'docs-link', hidden: true }, 'API');

function header(): HTMLElement {
  const theme = button('theme', 'Light or dark', () => nextTheme(), { bare: true });
  const begin = (event: Event) => {
    event.preventDefault();
    show(undefined);
  };
  const home = h('a', { href: './', class: 'brand', onclick: begin, 'aria-label': 'AnyRef, begin' }, h('img', { src: 'icon.svg', alt: '', width: 24, height: 24 }), h('span', {}, 'AnyRef'));
  return h('header', { class: 'top' }, home, models, badge, strip, h('span', { class: 'space' }), docs, theme);
}

function askToken(): void {
  if (document.querySelector('dialog')) {
    return;
  }
  const field = h('input', { type: 'password', autocomplete: 'off', 'aria-label': 'Token', required: true });
  const form = h(
    'form',
    {
      onsubmit: (event: Event) => {
        event.preventDefault();
        engine.useToken?.(field.value.trim());
        dialog.close();
        void connect();
      },
    },
    h('div', { class: 'dialog-body' }, h('p', {}, 'This server was started with a token. Whoever started it can give it to you; it stays in this tab.'), field),
    h('footer', {}, h('button', { class: 'primary', type: 'submit' }, 'Connect')),
  );
  const dialog = openDialog('Token', form);
  field.focus();
}

const offline = h('div', { class: 'offline', role: 'alert', hidden: true });

engine.onLoading = (bytes, all) => {
  badge.textContent = bytes < all ? `loading, ${Math.floor((100 * bytes) / all)} %` : 'starting';
};

engine.onNotice = (line) => {
  toast(line);
  // The model's backend is another one now.
  void connect();
};

/** Asks the engine for its model until it answers. */
async function connect(): Promise<void> {
  try {
    model = await engine.info();
    offline.hidden = true;
    docs.hidden = !model.address;
    const { name, backend, loaded } = model;
    const several = model.models.length > 1 ? model.models : [];
    models.hidden = several.length === 0;
    models.replaceChildren(...several.map((one) => h('option', { value: one, selected: one === name }, one)));
    badge.replaceChildren(h('b', {}, name), loaded ? ` on ${backend}` : ' is loaded when it is asked');
    composer.takes(model.takes, model.speaks);
    welcomeNote.replaceChildren(note(model));
  } catch (error) {
    if (error instanceof EngineError && error.code === TOKEN_NEEDED) {
      badge.textContent = 'token needed';
      askToken();
      return;
    }
    badge.textContent = 'not connected';
    offline.replaceChildren(
      h('span', {}, error instanceof Error ? error.message : 'The server does not answer.'),
      button('again', 'Try again', () => void connect()),
    );
    offline.hidden = false;
  }
}

const welcomeNote = h('div', { class: 'note-place' });

function note(model: ModelInfo): HTMLElement {
  const link = h('button', { type: 'button', class: 'link', onclick: () => known() }, 'See which');
  return model.knows.length
    ? h('p', { class: 'quiet' }, `${model.name} is a small model that knows ${model.knows.length} things by name. `, link, '.')
    : h('p', { class: 'quiet' }, `Answers come from ${model.name}.`);
}

const start = welcome(
  { addPicture: () => void addPicture(), refine: () => {} },
  sceneButtons((file, examples) => void open(file, examples)),
  welcomeNote,
);
const panel = h('section', { class: 'panel', 'aria-label': 'Conversation' }, turns.element, composer.element);
const left = h('div', { class: 'left' }, stage.element);
const bench = h('main', { class: 'bench', id: 'main' }, start, left, panel);
const veil = h('div', { class: 'veil', 'aria-hidden': 'true' }, h('p', {}, 'Drop it here'));

store.onChange(() => {
  const empty = !store.current;
  start.hidden = !empty;
  left.hidden = panel.hidden = empty;
  document.body.classList.toggle('working', !empty);
  drawStrip();
});

// ---- files that are dropped or pasted, and keys

let over = 0;
const hasFiles = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
addEventListener('dragenter', (event) => {
  if (hasFiles(event)) {
    over++;
    veil.classList.add('shown');
    veil.firstElementChild!.textContent = store.current
      ? 'A picture or a sound to point with'
      : 'The picture to ask about';
  }
});
addEventListener('dragleave', (event) => {
  if (hasFiles(event) && --over <= 0) {
    veil.classList.remove('shown');
  }
});
addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault());
addEventListener('drop', (event) => {
  over = 0;
  veil.classList.remove('shown');
  if (hasFiles(event)) {
    event.preventDefault();
    void take([...(event.dataTransfer?.files ?? [])], event.target as Element);
  }
});
addEventListener('paste', (event) => {
  const files = [...(event.clipboardData?.files ?? [])];
  if (files.length) {
    event.preventDefault();
    void take(files);
  }
});

/** Takes files: pictures dropped on the row of pictures are asked about, others refer. */
async function take(files: File[], target?: Element): Promise<void> {
  for (const file of files) {
    const kind = kindOf(file);
    if (kind === 'sound') {
      if (store.current) {
        await addSound(file);
      } else {
        toast('Open a picture first; a sound then points at something in it.');
      }
    } else if (kind === 'picture') {
      if (!store.current || target?.closest('.strip')) {
        await open(file);
      } else {
        await takePicture(file);
      }
    } else {
      toast(`${file.name} is neither a picture nor a sound. Use PNG, JPEG, WebP, WAV, FLAC, Ogg or MP3.`);
    }
  }
}

/** Asks for the purpose of another picture. */
function takePicture(file: File): Promise<void> {
  return new Promise((resolve) => {
    const does = (run: () => Promise<void>) => () => {
      dialog.close();
      void run().then(resolve);
    };
    const dialog = openDialog(
      'Another picture',
      h('div', { class: 'dialog-body' }, h('p', {}, `Is ${file.name} of the thing to look for, or a new picture to ask about?`)),
      h(
        'footer',
        {},
        h('button', { type: 'button', onclick: does(() => open(file)) }, 'Ask about it'),
        h('button', { type: 'button', class: 'primary', onclick: does(() => addReferencePicture(file)) }, 'Look for it'),
      ),
    );
    dialog.addEventListener('close', () => resolve());
  });
}

addEventListener('keydown', (event) => {
  const target = event.target as HTMLElement;
  const typing = target.matches('textarea, input');
  if ((event.ctrlKey || event.metaKey) && event.key === 'z' && !typing && !event.shiftKey) {
    event.preventDefault();
    undo();
    return;
  }
  if (event.key === 'Escape' && store.tool !== 'look') {
    store.tool = 'look';
    store.changed();
    return;
  }
  const blocked = typing || event.ctrlKey || event.metaKey || event.altKey;
  if (blocked || !store.current || document.querySelector('dialog[open]')) {
    return;
  }
  const takes = model?.takes ?? [];
  const keys: Record<string, (() => void) | undefined> = {
    b: () => startTool('box'),
    p: takes.includes('points') || model?.refines ? () => startTool('points') : undefined,
    i: () => void addReferencePicture(),
    s: () => void addSound(),
    '/': () => composer.focus(),
  };
  const run = keys[event.key];
  if (run) {
    event.preventDefault();
    run();
  }
});

applyTheme();
const skip = h('a', { class: 'skip', href: '#main' }, 'Skip to the picture');
document.body.replaceChildren(
  skip,
  header(),
  offline,
  bench,
  veil,
  h('div', { id: 'toast', 'aria-hidden': 'true' }),
  h('div', { id: 'announcer', class: 'unseen', role: 'status', 'aria-live': 'polite' }),
);
store.changed();
void connect();

