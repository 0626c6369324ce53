// References that a model was not trained with, and their substitutes.

export interface Bridge {
  /** Number of the reference, from 1. */
  reference: number;
  kind: 'box' | 'image' | 'audio';
  by: 'sam_box_prompt' | 'name' | 'lookalike' | 'imagebind_labels';
  name?: string;
  candidates?: number;
  asked?: string[];
}

const KINDS = { box: 'Box', image: 'Picture', audio: 'Sound' };

/** Sentence about a bridge. */
export function bridgeLine({ reference, kind, by, name, candidates, asked }: Bridge): string {
  const subject = `${KINDS[kind]} ${reference}`;
  switch (by) {
    case 'sam_box_prompt':
      return `${subject} went to the mask decoder itself: this model was trained on words.`;
    case 'name':
      return `${subject} was put into words: “${name}”.`;
    case 'lookalike':
      return `${subject} was put into words, “${name}”, and the most similar of ${candidates} masks chosen.`;
    case 'imagebind_labels':
      return `${subject} was heard as ${asked?.join(', ')} by ImageBind.`;
  }
}
