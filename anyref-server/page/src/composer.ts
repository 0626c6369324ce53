// Composer of a question with its references.

import { announce, button, h, icon, type Icon } from './dom.ts';
import { missing, move, pieces, remove } from './draft.ts';
import type { Goal, Kind } from './engine.ts';
import { tone } from './palette.ts';
import { waveElement } from './sound.ts';
import type { Reference, Store, Tool } from './state.ts';

/** Actions that the composer requests from the rest of the page. */
export interface ComposerActions {
  ask(): void;
  addReferencePicture(): void;
  addSound(): void;
  recordSound(): void;
  undo(): void;
  startTool(tool: Tool): void;
}

const GOALS: [Goal, string, string][] = [
  ['segment', 'Find', 'Masks of what you point at; the best of several answers'],
  ['describe', 'Describe', 'Words for what is in a box'],
  ['chat', 'Chat', 'The likeliest answer, word by word, turn after turn'],
];

const PLACEHOLDERS: Record<Goal, string> = {
  segment: 'The gorilla on the left …',
  describe: 'Draw a box, then ask',
  chat: 'Ask about the picture',
};

export class Composer {
  readonly element: HTMLElement;
  private readonly chips = h('ul', { class: 'chips', 'aria-label': 'References' });
  private readonly text: HTMLTextAreaElement;
  private readonly backdrop = h('div', { class: 'backdrop', 'aria-hidden': 'true' });
  private readonly goals: HTMLButtonElement[];
  private readonly tools: Partial<Record<Kind | 'record', HTMLButtonElement>> = {};
  private readonly send: HTMLButtonElement;
  private readonly undo: HTMLButtonElement;
  private cursor?: number;
  private dragged?: number;

  constructor(
    private readonly store: Store,
    private readonly actions: ComposerActions,
  ) {
    this.text = h('textarea', {
      id: 'question',
      rows: 1,
      'aria-label': 'Question',
      spellcheck: 'false',
      oninput: () => this.typed(),
      onselect: () => this.remember(),
      onkeyup: () => this.remember(),
      onclick: () => this.remember(),
      onscroll: () => (this.backdrop.scrollTop = this.text.scrollTop),
      onkeydown: (event: KeyboardEvent) => {
        if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) {
          event.preventDefault();
          this.submit();
        }
      },
    });
    this.goals = GOALS.map(([goal, name, title]) => {
      const choose = () => {
        store.current!.draft = { ...store.current!.draft, goal };
        if (goal === 'describe' && !store.current!.draft.references.length) {
          store.tool = 'box';
        }
        store.changed();
      };
      return h('button', { type: 'button', title, 'data-goal': goal, onclick: choose }, name);
    });
    this.send = h('button', { type: 'submit', class: 'send', 'aria-label': 'Ask', title: 'Ask (Enter)' }, icon('send'));
    this.undo = button('undo', 'Undo', () => actions.undo(), {
      bare: true,
      'aria-keyshortcuts': 'Control+Z',
    });
    const tool = (kind: Kind | 'record', name: Icon, label: string, run: () => void, key?: string) => {
      const made = button(name, label, run, key ? { 'aria-keyshortcuts': key, title: `${label} (${key})` } : {});
      this.tools[kind] = made;
      return made;
    };
    const toggle = (tool: Tool) => () => {
      if (store.tool === tool) {
        store.tool = 'look';
        store.changed();
      } else {
        actions.startTool(tool);
      }
    };
    const submit = (event: Event) => {
      event.preventDefault();
      this.submit();
    };
    this.element = h(
      'form',
      { class: 'composer', 'aria-label': 'Question', onsubmit: submit },
      h(
        'div',
        { class: 'composer-top' },
        h('div', { class: 'segmented', role: 'group', 'aria-label': 'Purpose' }, ...this.goals),
        this.undo,
      ),
      this.chips,
      h('div', { class: 'question' }, this.backdrop, this.text, this.send),
      h(
        'div',
        { class: 'tools', role: 'toolbar', 'aria-label': 'Point by' },
        tool('box', 'box', 'Box', toggle('box'), 'B'),
        tool('points', 'points', 'Points', toggle('points'), 'P'),
        tool('picture', 'picture', 'Picture', () => actions.addReferencePicture(), 'I'),
        tool('sound', 'sound', 'Sound', () => actions.addSound(), 'S'),
        tool('record', 'record', 'Record', () => actions.recordSound(), 'R'),
      ),
    );
    store.onChange(() => this.update());
  }

  /** Shows the tools that the model can use. */
  takes(kinds: Kind[], speaks: boolean): void {
    for (const [kind, tool] of Object.entries(this.tools)) {
      tool.hidden = !kinds.includes((kind === 'record' ? 'sound' : kind) as Kind);
    }
    this.goals.forEach((goal) => (goal.hidden = !speaks));
    this.text.hidden = !speaks;
  }

  /** Position of the next placeholder. */
  get place(): number | undefined {
    return this.cursor;
  }

  focus(): void {
    this.text.focus();
  }

  private remember(): void {
    this.cursor = this.text.selectionStart;
  }

  private typed(): void {
    const sheet = this.store.current!;
    sheet.draft = { ...sheet.draft, text: this.text.value };
    this.remember();
    this.store.changed();
  }

  private submit(): void {
    const problem = missing(this.store.current!.draft);
    if (problem) {
      announce(problem);
      this.text.placeholder = problem;
      this.text.focus();
    } else {
      this.cursor = undefined;
      this.actions.ask();
    }
  }

  private change(draft: Parameters<typeof remove>[0], line: string): void {
    this.store.remember();
    this.store.current!.draft = draft;
    this.cursor = undefined;
    announce(line);
    this.store.changed();
  }

  private update(): void {
    const { store } = this;
    const sheet = store.current;
    this.element.hidden = !sheet;
    if (!sheet) {
      return;
    }
    const { draft } = sheet;
    this.goals.forEach((button) => {
      button.setAttribute('aria-pressed', `${button.dataset.goal === draft.goal}`);
    });
    if (this.text.value !== draft.text) {
      this.text.value = draft.text;
    }
    this.text.placeholder = PLACEHOLDERS[draft.goal];
    this.backdrop.replaceChildren(
      ...pieces(draft.text, draft.references.length).map((piece) => {
        if (typeof piece === 'string') {
          return document.createTextNode(piece);
        }
        const mark = h('mark', {}, `{${piece}}`);
        mark.style.setProperty('--tone', tone(piece - 1));
        return mark;
      }),
      '\u200b',
    );
    this.text.style.height = 'auto';
    this.text.style.height = `${Math.min(160, this.text.scrollHeight)}px`;
    this.undo.disabled = sheet.past.length === 0;
    this.send.classList.toggle('ready', !missing(draft));
    for (const kind of ['box', 'points'] as const) {
      this.tools[kind]?.setAttribute('aria-pressed', `${store.tool === kind}`);
    }
    const focused = document.activeElement?.closest<HTMLElement>('.chip')?.dataset.index;
    this.chips.hidden = draft.references.length === 0;
    this.chips.replaceChildren(...draft.references.map((one, i) => this.chip(one, i)));
    if (focused !== undefined) {
      const chips = this.chips.querySelectorAll<HTMLElement>('.chip');
      (chips[Math.min(Number(focused), chips.length - 1)] ?? this.text).focus();
    }
  }

  private chip(reference: Reference, index: number): HTMLElement {
    const { store } = this;
    const { draft } = store.current!;
    const number = index + 1;
    const shift = (to: number) => {
      if (to >= 0 && to < draft.references.length) {
        this.change(move(draft, index, to), `Reference ${number} is now ${to + 1}.`);
        this.chips.querySelectorAll<HTMLElement>('.chip')[to]?.focus();
      }
    };
    const drop = () => this.change(remove(draft, index), `Reference ${number} is removed.`);
    const chip = h(
      'li',
      {
        class: 'chip',
        tabindex: 0,
        draggable: true,
        'data-index': index,
        'aria-label': `Reference ${number}: ${label(reference)}. Arrow keys move it, Delete removes it.`,
        onkeydown: (event: KeyboardEvent) => {
          if (event.key === 'ArrowLeft') shift(index - 1);
          else if (event.key === 'ArrowRight') shift(index + 1);
          else if (event.key === 'Delete' || event.key === 'Backspace') drop();
          else return;
          event.preventDefault();
        },
        ondragstart: (event: DragEvent) => {
          this.dragged = index;
          event.dataTransfer?.setData('text/plain', `{${number}}`);
        },
        ondragover: (event: DragEvent) => this.dragged !== undefined && event.preventDefault(),
        ondrop: (event: DragEvent) => {
          event.preventDefault();
          event.stopPropagation();
          if (this.dragged !== undefined && this.dragged !== index) {
            this.change(move(draft, this.dragged, index), 'The references are in another order.');
          }
          this.dragged = undefined;
        },
        ondragend: () => (this.dragged = undefined),
      },
      h('span', { class: 'badge' }, number),
      ...content(reference),
      button('close', `Remove reference ${number}`, drop, { bare: true, tabindex: -1 }),
    );
    chip.style.setProperty('--tone', tone(index));
    return chip;
  }
}

/** Reference in words. */
export function label({ input, name }: Reference): string {
  switch (input.kind) {
    case 'text':
      return input.text;
    case 'box':
      return `box ${input.box.map((side) => Math.round(side)).join(', ')}`;
    case 'points':
      return input.points.length === 1 ? '1 point' : `${input.points.length} points`;
    case 'picture': {
      const part = input.mask ? ', painted' : input.box ? ', part' : '';
      return `${name ?? 'picture'}${part}`;
    }
    case 'sound':
      return name ?? 'sound';
  }
}

/** Reference as shown in chips. */
export function content(reference: Reference): Node[] {
  const { input } = reference;
  if (input.kind === 'picture' && reference.thumbnail) {
    return [h('img', { src: reference.thumbnail, alt: '' }), h('span', { class: 'name' }, label(reference))];
  }
  if (input.kind === 'sound') {
    const play = button('play', 'Play', () => {
      const sound = new Audio(URL.createObjectURL(input.file));
      sound.onended = () => URL.revokeObjectURL(sound.src);
      void sound.play();
    }, { bare: true, tabindex: -1 });
    return [play, waveElement(reference.wave)];
  }
  return [icon(input.kind), h('span', { class: 'name' }, label(reference))];
}
