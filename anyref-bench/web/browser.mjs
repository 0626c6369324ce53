// The browser's side of `cargo xtask bench web`: the page's worker in Chromium.
//
//     node browser.mjs FOLDER PICTURE... [-- ARGUMENT OF CHROMIUM...]
//
// Prints the browser's version as JSON on one line. Then answers every line by seconds: `page` loads
// the page anew, until a picture can be opened, and `model` until its model is ready; `first N` has
// picture N encoded and asks about it, `next N` asks about the newest picture again.
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { serveFolder } from '../../anyref-server/tests/page/alone.mjs';
import { startBrowser } from '../../anyref-server/tests/page/program.mjs';

const words = process.argv.slice(2);
const end = words.indexOf('--') < 0 ? words.length : words.indexOf('--');
const [folder, ...pictures] = words.slice(0, end);
const files = pictures.map((file) => readFileSync(file).toString('base64'));
const [server, browser] = await Promise.all([serveFolder(folder), startBrowser(words.slice(end + 1))]);

/** Seconds of loading the page in a fresh browser context, until a text is seen. */
async function load(visible) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const start = performance.now();
  await page.goto(server.address, { waitUntil: 'commit' });
  await visible(page).waitFor();
  const seconds = (performance.now() - start) / 1000;
  await context.close();
  return seconds;
}

/** Page with a worker of its own, whose calls are asked by `window.call`. */
async function worker() {
  const page = await browser.newPage();
  await page.goto(new URL('icon.svg', server.address).href);
  await page.evaluate(
    ({ script, files }) => {
      const worker = new Worker(script, { type: 'module' });
      const waiting = new Map();
      let last = 0;
      worker.onerror = (event) => waiting.forEach(({ reject }) => reject(new Error(event.message)));
      worker.onmessage = ({ data }) => {
        if ('form' in data) {
          window.form = data.form;
        }
        const { resolve, reject } = waiting.get(data.id) ?? {};
        if ('result' in data) {
          resolve(data.result);
        } else if ('failure' in data || 'fault' in data) {
          reject(new Error(data.fault ?? data.failure.message));
        }
      };
      const call = (call) =>
        new Promise((resolve, reject) => {
          waiting.set(++last, { resolve, reject });
          worker.postMessage({ id: last, call });
        });
      const blobs = files.map((file) => new Blob([Uint8Array.from(atob(file), (c) => c.charCodeAt(0))]));
      let newest;
      window.ask = async (what, number) => {
        const start = performance.now();
        if (what === 'first') {
          newest = (await call({ method: 'encode', file: blobs[number] })).id;
        }
        const references = [{ type: 'text', text: 'the largest object' }];
        const question = JSON.stringify({ picture: newest, references });
        const answer = await call({ method: 'ask', goal: 'segment', question });
        return [(performance.now() - start) / 1000, answer.text];
      };
      window.ready = call({ method: 'info' });
    },
    { script: new URL('worker.js', server.address).href, files },
  );
  await page.evaluate(() => window.ready);
  return page;
}

const page = await worker();
const form = await page.evaluate(() => window.form ?? 'flex');
console.log(JSON.stringify({ browser: browser.version(), form }));
for await (const line of createInterface({ input: process.stdin })) {
  const [what, number] = line.split(' ');
  if (what === 'page') {
    console.log(await load((page) => page.getByRole('button', { name: 'Scene 1' })));
  } else if (what === 'model') {
    console.log(await load((page) => page.getByText(/nano on/)));
  } else {
    const [seconds] = await page.evaluate(([what, number]) => window.ask(what, number), [what, number]);
    console.log(seconds);
  }
}
await browser.close();
server.stop();
