// Description of the API for people, made from `openapi.json`.

import { h } from './dom.ts';
import { applyTheme } from './theme.ts';

interface Schema {
  $ref?: string;
  type?: string | string[];
  format?: string;
  description?: string;
  properties?: Record<string, Schema>;
  required?: string[];
  items?: Schema;
  oneOf?: Schema[];
  allOf?: Schema[];
  enum?: unknown[];
  default?: unknown;
}

interface Operation {
  summary?: string;
  description?: string;
  tags?: string[];
  parameters?: { name: string; description?: string; in: string }[];
  requestBody?: { content: Record<string, { schema?: Schema; example?: unknown }> };
  responses: Record<string, { description: string; content?: Record<string, { schema?: Schema }> }>;
}

interface Description {
  info: { title: string; version: string; description?: string };
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, Schema> };
}

const name = (schema: Schema) => schema.$ref?.split('/').at(-1);

/** Text with its `code`. */
function rich(text: string): (Node | string)[] {
  return text.split('`').map((part, i) => (i % 2 ? h('code', {}, part) : part));
}

/** Type on one line, with links to named types. */
function typeOf(schema: Schema | undefined): (Node | string)[] {
  if (!schema) {
    return ['anything'];
  }
  const named = name(schema);
  if (named) {
    return [h('a', { href: `#${named}` }, named)];
  }
  if (schema.enum) {
    return [schema.enum.map((value) => JSON.stringify(value)).join(' or ')];
  }
  const union = (schema.oneOf ?? schema.allOf)?.filter(({ type }) => type !== 'null');
  if (union?.length) {
    return union.flatMap((one, i) => (i ? [' or ', ...typeOf(one)] : typeOf(one)));
  }
  const types = [schema.type ?? 'object'].flat().filter((type) => type !== 'null');
  if (types.includes('array')) {
    return ['list of ', ...typeOf(schema.items)];
  }
  return [types.join(' or ')];
}

function fields(schema: Schema): HTMLElement {
  const list = h('dl', { class: 'fields' });
  for (const one of schema.allOf ?? []) {
    if (!one.$ref) {
      list.append(...fields(one).children);
    }
  }
  for (const [field, type] of Object.entries(schema.properties ?? {})) {
    const needed = schema.required?.includes(field) ? ' required' : '';
    const value = type.default === undefined ? '' : `, ${JSON.stringify(type.default)} by default`;
    list.append(
      h('dt', {}, h('code', {}, field), ' ', h('small', {}, ...typeOf(type), value, needed)),
      h('dd', {}, ...rich(type.description ?? '')),
    );
  }
  return list;
}

function schemaOf(label: string, schema: Schema): HTMLElement {
  const section = h('section', { id: label }, h('h3', {}, label), h('p', {}, ...rich(schema.description ?? '')));
  if (schema.enum) {
    section.append(h('p', {}, ...typeOf(schema)));
  }
  for (const one of schema.oneOf ?? []) {
    section.append(h('p', {}, ...rich(one.description ?? '')), name(one) ? h('p', {}, ...typeOf(one)) : fields(one));
  }
  section.append(fields(schema));
  return section;
}

function operation(path: string, method: string, operation: Operation): HTMLElement {
  const section = h(
    'section',
    { class: 'operation' },
    h('h3', {}, h('span', { class: 'method' }, method.toUpperCase()), ' ', h('code', {}, path)),
    h('p', {}, ...rich(`${operation.summary ?? ''} ${operation.description ?? ''}`)),
  );
  for (const [type, { schema, example }] of Object.entries(operation.requestBody?.content ?? {})) {
    section.append(h('p', {}, h('b', {}, 'Takes '), ...typeOf(schema), ' ', h('small', {}, type)));
    if (example) {
      section.append(h('pre', {}, JSON.stringify(example, null, 2)));
    }
  }
  const answers = h('dl', { class: 'fields' });
  for (const [status, { description, content }] of Object.entries(operation.responses)) {
    const types = Object.values(content ?? {}).flatMap(({ schema }) => typeOf(schema));
    answers.append(h('dt', {}, h('code', {}, status), ' ', h('small', {}, ...types)), h('dd', {}, ...rich(description)));
  }
  section.append(h('p', {}, h('b', {}, 'Answers')), answers);
  return section;
}

async function show(): Promise<void> {
  const response = await fetch(new URL('openapi.json', document.baseURI));
  const { info, paths, components }: Description = await response.json();
  document.body.replaceChildren(
    h('header', { class: 'top' }, h('a', { href: './', class: 'brand' }, h('img', { src: 'icon.svg', alt: '', width: 24, height: 24 }), 'AnyRef'), h('span', { class: 'space' }), h('a', { href: 'openapi.json' }, 'openapi.json')),
    h(
      'main',
      { class: 'reading' },
      h('h1', {}, `${info.title} ${info.version}`),
      ...(info.description ?? '').split('\n\n').map((paragraph) => h('p', {}, ...rich(paragraph))),
      h('h2', {}, 'Calls'),
      ...Object.entries(paths).flatMap(([path, methods]) =>
        Object.entries(methods).map(([method, one]) => operation(path, method, one)),
      ),
      h('h2', {}, 'Types'),
      ...Object.entries(components.schemas).map(([label, schema]) => schemaOf(label, schema)),
    ),
  );
}

applyTheme();
show().catch(() => {
  document.body.replaceChildren(
    h('main', { class: 'reading' }, h('p', { role: 'alert' }, 'The description did not load. Check that the server runs, and load this page again.')),
  );
});
