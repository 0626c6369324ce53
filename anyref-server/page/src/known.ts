// Names of the objects that the model was trained on.

import { h, openDialog } from './dom.ts';
import type { ModelInfo } from './engine.ts';

/** Shows the names that the model knows. */
export function showKnown(model: ModelInfo | undefined, use?: (name: string) => void): void {
  if (!model) {
    return;
  }
  if (!model.knows.length) {
    openDialog(
      `What ${model.name} knows`,
      h('div', { class: 'dialog-body' }, h('p', {}, `${model.name} has no list of names: ask for anything.`)),
    );
    return;
  }
  const list = h('ul', { class: 'known' });
  const count = h('p', { class: 'quiet', role: 'status' });
  const show = (wanted: string) => {
    const found = model.knows.filter((name) => name.includes(wanted.trim().toLowerCase()));
    count.textContent = found.length ? `${found.length} of ${model.knows.length}` : 'No such name: the model did not learn it.';
    list.replaceChildren(
      ...found.map((name) => {
        const choose = () => {
          use?.(name);
          dialog.close();
        };
        return h('li', {}, use ? h('button', { type: 'button', onclick: choose }, name) : name);
      }),
    );
  };
  const search = h('input', {
    type: 'search',
    placeholder: 'Search the names',
    'aria-label': 'Search the names',
    oninput: () => show(search.value),
  });
  const dialog = openDialog(
    `What ${model.name} knows`,
    h(
      'div',
      { class: 'dialog-body' },
      h('p', {}, `${model.name} is a small model. It learned the names of ${model.knows.length} things, where they are (left of, above, the largest) and how some of them sound. Of other things it finds what looks like a picture or a box that you give, but does not know the name.`),
      search,
      count,
      list,
    ),
  );
  show('');
  search.focus();
}
