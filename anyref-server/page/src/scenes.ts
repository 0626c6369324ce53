// Bundled scenes, with questions to begin with.

import { button, h } from './dom.ts';
import type { Kind } from './engine.ts';
import { loadImage } from './pictures.ts';
import { thumbnail } from './reference_picture.ts';
import { wave } from './sound.ts';
import { type Draft, type Example, type Reference, emptyDraft, fresh } from './state.ts';

interface Demo {
  scenes: { picture: string; tasks: Task[] }[];
}

interface Task {
  kind: string;
  question: string;
  references: { box?: [number, number, number, number]; picture?: string; sound?: string }[];
}

const FOLDER = new URL('demo/', document.baseURI);

async function file(name: string): Promise<File> {
  const response = await fetch(new URL(name, FOLDER));
  if (!response.ok) {
    throw new Error(`The bundled file ${name} is missing on the server.`);
  }
  const content = await response.blob();
  return new File([content], name, { type: content.type });
}

/** Buttons with the scenes. */
export function sceneButtons(open: (file: File, examples: Example[]) => void): HTMLElement {
  const list = h('div', { class: 'scenes' });
  const load = async () => {
    const response = await fetch(new URL('demo.json', FOLDER));
    const demo: Demo = await response.json();
    demo.scenes.forEach(({ picture, tasks }, i) => {
      const label = `Scene ${i + 1}`;
      const image = h('img', { src: new URL(picture, FOLDER).href, alt: '', loading: 'lazy' });
      const choose = async () => {
        one.setAttribute('aria-busy', 'true');
        open(await file(picture), tasks.map(example));
      };
      const one = h('button', { type: 'button', class: 'scene', onclick: choose }, image, h('span', {}, label));
      list.append(one);
    });
  };
  load().catch(() => {
    list.replaceChildren(
      h('p', { class: 'quiet' }, 'The scenes did not load.'),
      button('again', 'Load them', () => list.replaceWith(sceneButtons(open))),
    );
  });
  return list;
}

const KINDS: Record<string, Kind> = {
  text: 'text',
  absent: 'text',
  box_to_text: 'box',
  image: 'picture',
  audio: 'sound',
  mixed: 'points',
};

/** Words without the sentence around them. */
function bare(question: string): string {
  return question
    .replace(/^Can you (segment|provide a description of) (the region )?/, '')
    .replace(/object with the following (reference|audio) /g, '')
    .replace(/ in this image\?$/, '');
}

function example(task: Task): Example {
  const describe = task.kind === 'box_to_text';
  const words = bare(task.question);
  const label = words.replace(/\{(\d+)\}/g, (_, number) => {
    const reference = task.references[number - 1];
    return reference?.box ? 'this box' : reference?.sound ? 'this sound' : 'this picture';
  });
  const alone: Record<string, string> = {
    'this picture': 'Find the thing in another picture',
    'this sound': 'Find what makes a sound',
    'this box': 'Describe what is in a box',
  };
  return {
    label: alone[label] ?? `Find ${label}`,
    kind: task.references.length > 1 || task.kind === 'mixed' ? 'points' : (KINDS[task.kind] ?? 'text'),
    make: async (): Promise<Draft> => ({
      ...emptyDraft(describe ? 'describe' : 'segment'),
      text: words,
      references: await Promise.all(task.references.map(reference)),
    }),
  };
}

async function reference(of: Task['references'][number]): Promise<Reference> {
  const id = fresh();
  if (of.box) {
    return { id, input: { kind: 'box', box: of.box } };
  }
  if (of.sound) {
    const sound = await file(of.sound);
    return { id, input: { kind: 'sound', file: sound }, name: sound.name, wave: await wave(sound) };
  }
  const picture = await file(of.picture!);
  return {
    id,
    input: { kind: 'picture', file: picture },
    name: picture.name,
    thumbnail: thumbnail(await loadImage(picture)),
  };
}
