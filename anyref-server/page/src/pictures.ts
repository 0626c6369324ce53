// Pictures of the user.

import { type Example, type Sheet, emptyDraft, fresh } from './state.ts';

/** Loads a picture file as an element. */
export async function loadImage(file: Blob): Promise<HTMLImageElement> {
  const image = new Image();
  image.src = URL.createObjectURL(file);
  image.alt = '';
  image.draggable = false;
  try {
    await image.decode();
  } catch {
    const name = file instanceof File ? file.name : 'This file';
    throw new Error(`${name} is no picture that the browser shows. Use PNG, JPEG, WebP or GIF.`);
  }
  return image;
}

/** Picture without questions. */
export async function sheet(file: File, examples: Example[] = []): Promise<Sheet> {
  const image = await loadImage(file);
  return {
    id: fresh(),
    name: file.name || 'pasted picture',
    file,
    url: image.src,
    image,
    width: image.naturalWidth,
    height: image.naturalHeight,
    turns: [],
    draft: emptyDraft(),
    examples,
    past: [],
  };
}
