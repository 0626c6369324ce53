// A server of the page that answers one question, or fails as it is told.
import { readFileSync, existsSync } from 'node:fs';
import http from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const folders = { '/': join(here, '../../assets/page'), '/demo/': join(here, '../../../assets/demo') };
const kinds = { html: 'text/html', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml', json: 'application/json', jpg: 'image/jpeg', png: 'image/png', wav: 'audio/wav' };

const mask = { size: [256, 256], counts: `P${'0'}`, area: 0, box: [0, 0, 0, 0], score: 0.9 };
// A square of 64 pixels: columns of 256 pixels, 64 on each.
const runs = [96 * 256 + 96];
for (let column = 0; column < 64; column++) {
  runs.push(64, 192);
}
runs[runs.length - 1] = 256 * 256 - runs.slice(0, -1).reduce((sum, run) => sum + run, 0);
Object.assign(mask, { counts: compressed(runs), area: 64 * 64, box: [96, 96, 160, 160] });

const answer = {
  model: 'mock',
  text: 'gorilla.',
  parts: [{ text: 'gorilla', mask: 0 }, { text: '.' }],
  masks: [mask],
  left_out: 0,
  timing_ms: { image: 0, audio: 0, prompt: 1, generate: 20, decode: 5, queue: 0, total: 26 },
};

/** COCO's string of run lengths. */
function compressed(runs) {
  let text = '';
  runs.forEach((run, i) => {
    let rest = i > 2 ? run - runs[i - 2] : run;
    for (let more = true; more; ) {
      const group = rest & 0x1f;
      rest >>= 5;
      more = group & 0x10 ? rest !== -1 : rest !== 0;
      text += String.fromCharCode(48 + (group | (more ? 0x20 : 0)));
    }
  });
  return text;
}

/** Starts it on a free port. */
export async function startMock() {
  let order = 'well';
  let uploads = 0;
  const json = (response, status, value, headers = {}) => {
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers });
    response.end(JSON.stringify(value));
  };
  const failure = (message, code) => ({ error: { message, code, type: 'server_error', param: null } });
  const event = (name, value) => `event: ${name}\ndata: ${JSON.stringify(value)}\n\n`;
  const api = {
    'GET /v1/models': (response) =>
      json(response, 200, {
        object: 'list',
        data: [{ id: 'mock', anyref: { backend: 'nothing', takes: ['text', 'box', 'points', 'picture', 'sound'], knows: [], refines: true, speaks: true } }],
      }),
    'POST /v1/pictures': (response) => json(response, 201, { id: `pic_${uploads++}`, timing_ms: { image: 1 } }),
    'POST /v1/segment': (response) => {
      if (order === 'busy') {
        json(response, 503, failure('256 requests wait already. Ask again in 2 seconds.', 'queue_full'), { 'Retry-After': '2' });
      } else if (order === 'garbage') {
        response.writeHead(500);
        response.end('<html>');
      } else if (order === 'forgetful') {
        order = 'well';
        json(response, 404, failure('there is no such picture', 'picture_not_found'));
      } else {
        response.writeHead(200, { 'Content-Type': 'text/event-stream' });
        response.write(event('text', { text: 'gor' }));
        if (order === 'broken') {
          setTimeout(() => response.destroy(), 50);
        } else if (order === 'mask first') {
          response.write(event('mask', { number: 0, ...mask }));
        } else if (order !== 'slow') {
          response.write(event('text', { text: 'illa.' }));
          response.end(event('final', answer));
        }
      }
    },
  };
  const server = http.createServer((request, response) => {
    const path = new URL(request.url, 'http://mock').pathname;
    request.resume();
    const isQuestion = path.startsWith('/v1/') && path !== '/v1/pictures';
    if (order === 'gone' && isQuestion) {
      request.socket.destroy();
      return;
    }
    const call = api[`${request.method} ${path}`];
    if (call) {
      request.on('end', () => call(response));
      return;
    }
    const folder = path.startsWith('/demo/') ? '/demo/' : '/';
    const name = path === '/' ? 'index.html' : path.slice(folder.length);
    const file = join(folders[folder], name);
    if (name.includes('/') || !existsSync(file)) {
      response.writeHead(404);
      response.end();
      return;
    }
    response.writeHead(200, { 'Content-Type': kinds[name.split('.').pop()] });
    response.end(readFileSync(file));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    address: `http://127.0.0.1:${server.address().port}/`,
    order: (given) => (order = given),
    uploads: () => uploads,
    stop: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}
