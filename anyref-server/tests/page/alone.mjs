// A static file server for the page of the browser alone, below a path.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const KINDS = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
  '.wasm': 'application/wasm',
};

/** Serves a folder at a path. */
export async function serveFolder(folder, path = '/some/where/') {
  const asked = [];
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url, 'http://localhost');
    asked.push(pathname);
    const name = normalize(pathname.slice(path.length) || 'index.html');
    const file = join(folder, name);
    const found =
      pathname.startsWith(path) && !name.startsWith('..') && existsSync(file) && statSync(file).isFile();
    if (!found) {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { 'Content-Type': KINDS[extname(file)] ?? 'application/octet-stream' });
    createReadStream(file).pipe(response);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = `http://127.0.0.1:${server.address().port}${path}`;
  return { address, asked, stop: () => server.close() };
}

/** Column-wise runs of a mask in COCO's compressed form. */
function runs(counts) {
  const found = [];
  let at = 0;
  while (at < counts.length) {
    let value = 0;
    let shift = 0;
    let more = true;
    while (more) {
      const code = counts.charCodeAt(at++) - 48;
      value |= (code & 31) << shift;
      shift += 5;
      more = (code & 32) !== 0;
      if (!more && code & 16) {
        value |= -1 << shift;
      }
    }
    found.push(found.length > 2 ? value + found.at(-2) : value);
  }
  return found;
}

function pixels({ size, counts }) {
  const mask = new Uint8Array(size[0] * size[1]);
  let at = 0;
  runs(counts).forEach((run, i) => {
    mask.fill(i % 2, at, at + run);
    at += run;
  });
  return mask;
}

/** Intersection over union of two masks in COCO's compressed run lengths. */
export function iou(a, b) {
  const [one, other] = [pixels(a), pixels(b)];
  let [both, either] = [0, 0];
  one.forEach((on, i) => {
    both += on & other[i];
    either += on | other[i];
  });
  return either ? both / either : 1;
}
