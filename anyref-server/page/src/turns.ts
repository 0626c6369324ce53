// Questions that were asked, and their answers.

import { bridgeLine } from './bridge.ts';
import { content, label } from './composer.ts';
import { button, h, icon, menu } from './dom.ts';
import { pieces, question } from './draft.ts';
import type { Explanation } from './engine.ts';
import { tone } from './palette.ts';
import type { Example, Store, Turn } from './state.ts';

/** Actions that the history requests from the rest of the page. */
export interface TurnActions {
  tryExample(example: Example): void;
  again(turn: Turn): void;
  edit(turn: Turn): void;
  remove(turn: Turn): void;
  explain(turn: Turn): void;
  stop(turn: Turn): void;
  /** Entries of the export menu. */
  exports(turn: Turn): [string, () => void][];
  showKnown(): void;
}

/** Parts of an answer's time, in words. */
const TIMES: [string, string][] = [
  ['queue', 'waiting'],
  ['image', 'picture'],
  ['audio', 'sound'],
  ['prompt', 'references'],
  ['generate', 'words'],
  ['decode', 'masks'],
];

export class Turns {
  readonly element: HTMLElement;
  private readonly list = h('ol', { class: 'turns' });
  private readonly start = h('div', { class: 'examples' });
  private readonly drawnFor = new Map<number, { element: HTMLElement; state: string }>();
  private last?: string;

  constructor(
    private readonly store: Store,
    private readonly actions: TurnActions,
  ) {
    this.element = h(
      'section',
      { class: 'history', 'aria-label': 'Questions and answers', tabindex: -1 },
      this.start,
      this.list,
    );
    store.onChange(() => this.update());
  }

  private update(): void {
    const sheet = this.store.current;
    this.element.hidden = !sheet;
    if (!sheet) {
      return;
    }
    this.start.hidden = sheet.turns.length > 0;
    if (!this.start.hidden) {
      this.drawStart();
    }
    const elements = sheet.turns.map((turn) => {
      const state = this.state(turn);
      const before = this.drawnFor.get(turn.id);
      if (before?.state === state) {
        return before.element;
      }
      const element = this.draw(turn);
      this.drawnFor.set(turn.id, { element, state });
      return element;
    });
    const same =
      elements.length === this.list.children.length &&
      elements.every((element, i) => element === this.list.children[i]);
    if (!same) {
      const focus = document.activeElement?.closest<HTMLElement>('.turn')?.dataset.turn;
      const key = (document.activeElement as HTMLElement | null)?.dataset?.key;
      this.list.replaceChildren(...elements);
      if (focus && key) {
        this.list
          .querySelector<HTMLElement>(`[data-turn="${focus}"] [data-key="${key}"]`)
          ?.focus({ preventScroll: true });
      }
    }
    elements.forEach((element, i) => this.light(element, sheet.turns[i]!));
    const newest = sheet.turns.at(-1);
    const state = newest && `${newest.id} ${newest.state} ${newest.words.length}`;
    if (state !== this.last) {
      this.last = state;
      if (newest?.id === sheet.shown || newest?.state !== 'answered') {
        this.element.scrollTo({ top: this.element.scrollHeight, behavior: 'smooth' });
      }
    }
  }

  /** Everything that a turn's element depends on, except the highlighted mask. */
  private state(turn: Turn): string {
    const { store } = this;
    const shown = turn.id === store.current?.shown;
    const visible = turn.masks.map(({ visible }) => visible);
    const explained = turn.answer?.explanations?.length ?? 0;
    return JSON.stringify([turn.state, turn.words, shown, visible, explained, shown && store.heat, turn.answer?.masks.map((m) => m.area)]);
  }

  private light(element: HTMLElement, turn: Turn): void {
    const lit = turn.id === this.store.current?.shown ? this.store.highlight : undefined;
    for (const word of element.querySelectorAll<HTMLElement>('[data-mask]')) {
      word.classList.toggle('lit', lit !== undefined && word.dataset.mask === `${lit}`);
    }
  }

  private drawStart(): void {
    const sheet = this.store.current!;
    const key = `${sheet.id}`;
    if (this.start.dataset.sheet === key) {
      return;
    }
    this.start.dataset.sheet = key;
    if (sheet.examples.length) {
      this.start.replaceChildren(
        h('h2', {}, 'Try one of these'),
        ...sheet.examples.map((example) => {
          const ask = () => this.actions.tryExample(example);
          return h('button', { type: 'button', class: 'example', onclick: ask }, icon(example.kind), h('span', {}, example.label));
        }),
      );
      return;
    }
    const known = h('button', { type: 'button', class: 'link', onclick: () => this.actions.showKnown() }, 'what the model knows');
    this.start.replaceChildren(
      h('h2', {}, 'Ask about this picture'),
      h('p', { class: 'quiet' }, 'Type what to find, draw a box, or bring another picture or a sound of it. See ', known, '.'),
    );
  }

  private draw(turn: Turn): HTMLElement {
    const { store, actions } = this;
    const shown = turn.id === store.current?.shown;
    const show = () => {
      store.current!.shown = turn.id;
      store.highlight = undefined;
      store.heat = undefined;
      store.changed();
    };
    const element = h('li', {
      class: shown ? 'turn shown' : 'turn',
      'data-turn': turn.id,
      'aria-current': shown ? 'true' : undefined,
    });
    element.append(this.asked(turn));
    const busy = turn.state === 'waiting';
    const body = h('div', { class: 'answer', 'aria-busy': `${busy}` });
    element.append(body);
    if (turn.state === 'failed') {
      body.append(
        h(
          'div',
          { class: 'failure', role: 'alert' },
          icon('warning'),
          h('p', {}, turn.error?.message ?? 'This did not work.'),
        ),
        h(
          'div',
          { class: 'row' },
          button('again', 'Try again', () => actions.again(turn), { 'data-key': 'again' }),
          button('edit', 'Change the question', () => actions.edit(turn), { 'data-key': 'edit' }),
          button('bin', 'Remove', () => actions.remove(turn), { bare: true, 'data-key': 'remove' }),
        ),
      );
      return element;
    }
    if (busy) {
      const words = turn.words ? h('p', { class: 'words writing' }, turn.words) : h('p', { class: 'thinking' }, h('i'), h('i'), h('i'), h('span', { class: 'unseen' }, 'Looking'));
      body.append(words, button('stop', 'Stop', () => actions.stop(turn), { 'data-key': 'stop', class: 'small' }));
      return element;
    }
    if (turn.state === 'stopped') {
      body.append(h('p', { class: 'quiet' }, 'Stopped.'), h('div', { class: 'row' }, button('again', 'Ask again', () => actions.again(turn), { 'data-key': 'again' })));
      return element;
    }
    const answer = turn.answer!;
    if (answer.parts.length) {
      body.append(this.sentence(turn, show));
    }
    if (turn.masks.length) {
      body.append(this.masks(turn, show));
    }
    const note = this.note(turn);
    if (note) {
      body.append(h('p', { class: 'quiet note' }, note));
    }
    if (shown && answer.explanations?.length) {
      body.append(this.explained(turn, answer.explanations));
    }
    const total = turn.took ?? 0;
    const times = TIMES.filter(([part]) => (answer.timing_ms[part] ?? 0) >= 0.5).map(
      ([part, name]) => h('li', {}, h('span', {}, name), h('b', {}, `${Math.round(answer.timing_ms[part]!)} ms`)),
    );
    const row = h('div', { class: 'row' });
    if (!shown && turn.masks.length) {
      row.append(button('eye', 'Show', show, { 'data-key': 'show' }));
    }
    if (turn.masks.length) {
      row.append(menu('export', 'Export', actions.exports(turn)));
      if (shown && answer.parts.length && !answer.explanations) {
        row.append(button('explain', 'Explain', () => actions.explain(turn), { 'data-key': 'explain' }));
      }
    }
    row.append(
      button('edit', 'Ask again with changes', () => actions.edit(turn), { bare: true, 'data-key': 'edit' }),
      button('bin', 'Remove this question', () => actions.remove(turn), { bare: true, 'data-key': 'remove' }),
      h('details', { class: 'times' }, h('summary', {}, `${Math.round(total)} ms`), h('ul', {}, ...times)),
    );
    body.append(row);
    return element;
  }

  private asked(turn: Turn): HTMLElement {
    const { draft } = turn;
    const text = question(draft).text ?? draft.text;
    const shown = pieces(text, draft.references.length).map((piece) => {
      if (typeof piece === 'string') {
        return document.createTextNode(piece);
      }
      return this.reference(turn, piece - 1);
    });
    const named = pieces(text, draft.references.length);
    const rest = draft.references.map((_, i) => i).filter((i) => !named.includes(i + 1));
    return h('p', { class: 'asked' }, h('span', { class: 'unseen' }, 'Question: '), ...shown, ...rest.map((i) => this.reference(turn, i)));
  }

  private reference(turn: Turn, index: number): HTMLElement {
    const reference = turn.draft.references[index]!;
    const chip = h('span', { class: 'chip small' }, h('span', { class: 'unseen' }, label(reference)), ...content(reference));
    chip.style.setProperty('--tone', tone(index));
    return chip;
  }

  private sentence(turn: Turn, show: () => void): HTMLElement {
    const line = h('p', { class: 'words' });
    for (const part of turn.answer!.parts) {
      const mask = part.mask === undefined ? undefined : turn.masks[part.mask];
      if (!mask) {
        line.append(part.text);
        continue;
      }
      const over = (on: boolean) => () => {
        if (turn.id === this.store.current?.shown) {
          this.store.highlight = on ? part.mask : undefined;
          this.store.changed();
        }
      };
      // A button would not wrap its text.
      const word = h(
        'span',
        {
          role: 'button',
          tabindex: 0,
          class: 'word',
          'data-mask': part.mask,
          'data-key': `word${part.mask}`,
          title: 'Show its mask',
          onmouseenter: over(true),
          onmouseleave: over(false),
          onfocus: over(true),
          onblur: over(false),
          onclick: show,
          onkeydown: (event: KeyboardEvent) => {
            if (event.key === 'Enter' || event.key === ' ') {
              event.preventDefault();
              show();
            }
          },
        },
        part.text,
      );
      word.style.setProperty('--tone', tone(mask.colour));
      line.append(word);
    }
    return line;
  }

  private masks(turn: Turn, show: () => void): HTMLElement {
    const list = h('ul', { class: 'masks', 'aria-label': 'Masks' });
    turn.answer!.masks.forEach((mask, i) => {
      const drawn = turn.masks[i]!;
      const named = turn.answer!.parts.find((part) => part.mask === i)?.text;
      const toggle = () => {
        drawn.visible = !drawn.visible;
        if (turn.id === this.store.current?.shown) {
          this.store.changed();
        } else {
          show();
        }
      };
      const name = named ?? (turn.masks.length > 1 ? `mask ${i + 1}` : 'mask');
      const eye = button(drawn.visible ? 'eye' : 'hidden', `${drawn.visible ? 'Hide' : 'Show'} ${name}`, toggle, {
        bare: true,
        'data-key': `eye${i}`,
      });
      const light = (on: boolean) => () => {
        if (turn.id === this.store.current?.shown) {
          this.store.highlight = on ? i : undefined;
          this.store.changed();
        }
      };
      const share = (100 * mask.area) / (mask.size[0] * mask.size[1]);
      const line = h(
        'li',
        { 'data-mask': i, onmouseenter: light(true), onmouseleave: light(false) },
        h('i', { class: 'swatch' }),
        h('span', { class: 'name' }, name),
        h('span', { class: 'quiet', title: 'Share of the picture' }, `${share < 1 ? share.toFixed(1) : Math.round(share)} %`),
        h('span', { class: 'score', title: 'The model’s own estimate of how well the mask fits' }, `${Math.round(100 * mask.score)} % sure`),
        eye,
      );
      line.style.setProperty('--tone', tone(drawn.colour));
      list.append(line);
    });
    return list;
  }

  private note(turn: Turn): string | undefined {
    const lines = (turn.answer!.bridge ?? []).map(bridgeLine);
    return [...lines, this.missing(turn) ?? []].flat().join(' ') || undefined;
  }

  private missing(turn: Turn): string | undefined {
    const { masks, left_out } = turn.answer!;
    if (left_out > 0) {
      const count = left_out === 1 ? 'One mask is' : `${left_out} masks are`;
      return `${count} left out: the model is too unsure of what it would point at.`;
    }
    if (!masks.length && turn.draft.goal === 'segment') {
      return 'No mask: the answer points at nothing in this picture.';
    }
    return undefined;
  }

  private explained(turn: Turn, explanations: Explanation[]): HTMLElement {
    const { store } = this;
    const box = h('div', { class: 'explained' });
    explanations.forEach((explanation, i) => {
      const on = store.heat === i;
      const toggle = button('explain', on ? 'Hide where it looked' : 'Show where it looked', () => {
        store.heat = on ? undefined : i;
        store.changed();
      }, { 'aria-pressed': `${on}`, 'data-key': `heat${i}` });
      const words = explanation.words.reduce((sum, { attention }) => sum + attention, 0);
      const shares: [string, number][] = [
        ['picture', explanation.picture],
        ['words', words],
        ...explanation.references.map((share, j): [string, number] => [
          explanation.references.length > 1 ? `reference ${j + 1}` : 'reference',
          share,
        ]),
      ];
      const name = turn.answer!.parts.find((part) => part.mask === i)?.text;
      box.append(
        h('div', { class: 'row' }, toggle, name ? h('span', { class: 'quiet' }, name) : null),
        h(
          'dl',
          { class: 'shares' },
          ...shares.flatMap(([part, share]) => {
            const bar = h('i');
            bar.style.width = `${Math.round(share * 100)}%`;
            return [h('dt', {}, part), h('dd', {}, bar, h('span', {}, `${Math.round(share * 100)} %`))];
          }),
        ),
      );
    });
    return box;
  }
}
