// Files in and out of the browser.

/** Reads a file as a `data:` URL. */
export function dataUrl(file: Blob): Promise<string> {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result as string);
    reader.onerror = () => reject(new Error('The file cannot be read. Choose it again.'));
    reader.readAsDataURL(file);
  });
}

/** Offers a file to be saved. */
export function download(file: Blob, name: string): void {
  const link = document.createElement('a');
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Encodes a canvas as a PNG file. */
export function toPng(canvas: HTMLCanvasElement): Promise<Blob> {
  return new Promise((resolve, reject) => {
    canvas.toBlob(
      (file) => (file ? resolve(file) : reject(new Error('The picture is too large to be written.'))),
      'image/png',
    );
  });
}

/** Lets the user choose a file; undefined if none was chosen. */
export function choose(accept: string): Promise<File | undefined> {
  return new Promise((resolve) => {
    const input = document.createElement('input');
    input.type = 'file';
    input.accept = accept;
    input.onchange = () => resolve(input.files?.[0]);
    input.oncancel = () => resolve(undefined);
    input.click();
  });
}

/** Name without its extension. */
export function stem(name: string): string {
  return name.replace(/\.[^.]+$/, '') || name;
}

const SOUND = /\.(wav|flac|ogg|oga|mp3)$/i;
const PICTURE = /\.(png|jpe?g|webp|gif|bmp|tiff?|p[bgpn]m)$/i;

/** Kind of a file that was dropped or pasted. */
export function kindOf(file: File): 'picture' | 'sound' | undefined {
  if (file.type.startsWith('image/') || PICTURE.test(file.name)) {
    return 'picture';
  }
  return file.type.startsWith('audio/') || SOUND.test(file.name) ? 'sound' : undefined;
}
