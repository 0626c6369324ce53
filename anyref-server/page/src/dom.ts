// Elements, icons and announcements.

type Child = Node | string | number | false | null | undefined;
type Properties = Record<string, unknown>;

/** Creates an element; properties that begin with `on` are listeners, the others attributes. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Properties = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith('on') && typeof value === 'function') {
      element.addEventListener(name.slice(2), value as EventListener);
    } else if (value === true) {
      element.setAttribute(name, '');
    } else if (value !== false && value !== undefined && value !== null) {
      element.setAttribute(name, String(value));
    }
  }
  element.append(...children.filter((child) => child !== false && child != null).map(asNode));
  return element;
}

function asNode(child: Child): Node {
  return child instanceof Node ? child : document.createTextNode(String(child));
}

/** Creates an SVG element. */
export function svg(tag: string, properties: Record<string, string | number> = {}): SVGElement {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(properties)) {
    element.setAttribute(name, String(value));
  }
  return element;
}

const ICONS = {
  box: 'M4 8V5a1 1 0 0 1 1-1h3M16 4h3a1 1 0 0 1 1 1v3M20 16v3a1 1 0 0 1-1 1h-3M8 20H5a1 1 0 0 1-1-1v-3',
  points: 'M12 3v4M12 17v4M3 12h4M17 12h4M12 12h.01',
  picture: 'M5 4h14a1 1 0 0 1 1 1v14a1 1 0 0 1-1 1H5a1 1 0 0 1-1-1V5a1 1 0 0 1 1-1zM4 16l4-4 4 4 3-3 5 5M15 9h.01',
  sound: 'M4 10v4M8 7v10M12 4v16M16 8v8M20 11v2',
  record: 'M12 3a3 3 0 0 1 3 3v5a3 3 0 0 1-6 0V6a3 3 0 0 1 3-3zM6 11a6 6 0 0 0 12 0M12 17v4',
  text: 'M5 6V5h14v1M12 5v14M9 19h6',
  send: 'M12 19V5M6 11l6-6 6 6',
  stop: 'M7 7h10v10H7z',
  undo: 'M8 5L4 9l4 4M4 9h10a6 6 0 0 1 0 12h-3',
  close: 'M6 6l12 12M18 6L6 18',
  plus: 'M12 5v14M5 12h14',
  play: 'M8 5l11 7-11 7z',
  eye: 'M2 12s4-7 10-7 10 7 10 7-4 7-10 7-10-7-10-7zM12 9a3 3 0 1 1 0 6 3 3 0 0 1 0-6z',
  hidden: 'M4 4l16 16M9.5 5.4A9.6 9.6 0 0 1 12 5c6 0 10 7 10 7a17 17 0 0 1-3 3.7M6 7.500A17 17 0 0 0 2 12s4 7 10 7c1.500 0 2.900-.400 4.100-1',
  export: 'M12 4v11M7 10l5 5 5-5M5 20h14',
  explain: 'M12 3a6 6 0 0 0-4 10.500c.700.700 1 1.500 1 2.500h6c0-1 .300-1.800 1-2.500A6 6 0 0 0 12 3zM10 20h4',
  again: 'M4 12a8 8 0 1 1 2.500 5.800M4 19v-5h5',
  edit: 'M5 19h3L19 8l-3-3L5 16z',
  bin: 'M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12',
  outline: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16z',
  cut: 'M7 9a2.500 2.500 0 1 1 0-5 2.500 2.500 0 0 1 0 5zM7 20a2.500 2.500 0 1 1 0-5 2.500 2.500 0 0 1 0 5zM9 8l11 10M9 16L20 6',
  theme: 'M12 4a8 8 0 1 0 8 8 6 6 0 0 1-8-8z',
  left: 'M14 6l-6 6 6 6',
  right: 'M10 6l6 6-6 6',
  brush: 'M19 4L9 14M9 14c-3 0-4 2-4 6 4 0 6-1 6-4z',
  info: 'M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM12 11v5M12 8h.01',
  warning: 'M12 4l9 16H3zM12 10v4M12 17h.01',
} as const;

export type Icon = keyof typeof ICONS;

/** Creates an icon, which screen readers ignore. */
export function icon(name: Icon): SVGElement {
  const picture = svg('svg', { viewBox: '0 0 24 24', class: 'icon', 'aria-hidden': 'true' });
  picture.append(svg('path', { d: ICONS[name] }));
  return picture;
}

/** Creates a button with an icon, and a name that is shown or only read out. */
export function button(
  name: Icon,
  label: string,
  onclick: (event: MouseEvent) => void,
  properties: Properties & { bare?: boolean } = {},
): HTMLButtonElement {
  const { bare, ...rest } = properties;
  const named = bare ? { 'aria-label': label, title: label } : {};
  const made = h('button', { type: 'button', onclick, ...named, ...rest }, icon(name));
  if (!bare) {
    made.append(h('span', {}, label));
  }
  if (bare) {
    made.classList.add('bare');
  }
  return made;
}

/** Announces a line to screen readers. */
export function announce(line: string): void {
  const region = document.getElementById('announcer');
  if (region) {
    region.textContent = '';
    requestAnimationFrame(() => (region.textContent = line));
  }
}

let hiding = 0;

/** Shows a line for a moment. */
export function toast(line: string): void {
  const place = document.getElementById('toast');
  if (place) {
    place.textContent = line;
    place.classList.add('shown');
    clearTimeout(hiding);
    hiding = window.setTimeout(() => place.classList.remove('shown'), 3500);
  }
  announce(line);
}

/** Opens a dialog that is removed when closed, and returns it. */
export function openDialog(title: string, ...content: Child[]): HTMLDialogElement {
  const heading = h('h2', {}, title);
  const close = button('close', 'Close', () => dialog.close(), { bare: true });
  const dialog = h(
    'dialog',
    { 'aria-label': title, onclose: () => dialog.remove() },
    h('header', {}, heading, close),
    ...content,
  );
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) {
      dialog.close();
    }
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

/** Creates a button that opens a menu below itself. */
export function menu(
  name: Icon,
  label: string,
  entries: [string, () => void][],
): HTMLElement {
  const list = h('div', { class: 'menu', popover: 'auto', role: 'menu', 'aria-label': label });
  for (const [text, run] of entries) {
    const choose = () => {
      list.hidePopover();
      run();
    };
    list.append(h('button', { type: 'button', role: 'menuitem', onclick: choose }, text));
  }
  const items = () => [...list.children] as HTMLElement[];
  list.addEventListener('keydown', (event) => {
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      const at = items().indexOf(document.activeElement as HTMLElement);
      items()[(at + move + items().length) % items().length]?.focus();
    }
  });
  const opener = button(name, label, () => {
    list.showPopover();
    const place = opener.getBoundingClientRect();
    const { width, height } = list.getBoundingClientRect();
    const below = place.bottom + 4 + height < innerHeight;
    list.style.left = `${Math.max(8, Math.min(place.left, innerWidth - width - 8))}px`;
    list.style.top = `${Math.max(8, below ? place.bottom + 4 : place.top - height - 4)}px`;
    items()[0]?.focus();
  }, { 'aria-haspopup': 'menu' });
  return h('span', { class: 'menu-place' }, opener, list);
}
