// The page of the browser alone where Chromium has WebGPU, here SwiftShader on the processor. Answers
// of the form for WebGPU, in a folder that `cargo xtask web --webgpu` wrote, take minutes there, and
// are compared if ANYREF_WEBGPU is set.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { iou, serveFolder } from './alone.mjs';
import { answer, demo, downloaded, openPage, openScene, program, shot, startBrowser } from './program.mjs';

const folder = process.env.ANYREF_WEB;
const options = { skip: folder ? false : 'ANYREF_WEB names no folder', timeout: 120_000 };
const there = folder && existsSync(join(folder, 'anyref_webgpu.js'));
const answered = {
  skip: process.env.ANYREF_WEBGPU && there ? false : 'ANYREF_WEBGPU is not set, or ANYREF_WEB has no form for WebGPU',
  timeout: 1_800_000,
};

let server;
let browser;
before(async () => {
  if (folder) {
    const arguments_ = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'];
    [server, browser] = await Promise.all([serveFolder(folder), startBrowser(arguments_)]);
  }
});
after(async () => {
  await browser?.close();
  server?.stop();
});

/** Opens the page with a form for WebGPU that is this script. */
async function openedWith(script, started = browser) {
  const { flex } = JSON.parse(readFileSync(join(folder, 'files.json'), 'utf8'));
  const context = await started.newContext();
  await context.route('**/files.json', (route) =>
    route.fulfill({ json: { flex, webgpu: { 'model/nouns.txt': flex['model/nouns.txt'] } } }),
  );
  await context.route('**/anyref_webgpu.js', (route) =>
    route.fulfill({ contentType: 'text/javascript', body: script }),
  );
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  await page.goto(`${server.address}?form=webgpu`);
  return page;
}

async function asked(page) {
  await openScene(page, 1);
  const question = page.getByRole('textbox', { name: 'Question' });
  await question.fill('the gorilla');
  await question.press('Enter');
  const turn = await answer(page);
  return turn.locator('.words').innerText();
}

const FAULTS = {
  'does not start': 'export default async () => {}; export const start = () => { throw new Error("no queue"); };',
  'stops the worker': 'export default async () => {}; export const start = () => { setTimeout(() => { throw new Error("no queue"); }); return new Promise(() => {}); };',
};

for (const [name, script] of Object.entries(FAULTS)) {
  test(`the processor answers where WebGPU ${name}`, options, async () => {
    const page = await openedWith(script);
    await page.getByText('WebGPU does not work here, so the processor answers.').first().waitFor();
    await page.getByText('nano on this browser, since WebGPU does not work here').waitFor();
    assert.equal(await asked(page), 'gorilla.');
    await page.context().close();
  });
}

test('the processor answers where a call fails on the GPU', options, async () => {
  const page = await openedWith(`
    export default async () => {};
    export const start = async () => {};
    export class WebSession {
      info() { return JSON.stringify({ id: 'nano' }); }
      async encode() { throw new Error('the shader is not valid'); }
    }`);
  assert.equal(await asked(page), 'gorilla.');
  const notice = 'WebGPU does not work here, so the processor answers. the shader is not valid';
  await page.getByText(notice).first().waitFor();
  await page.getByText('nano on this browser, since WebGPU does not work here').waitFor();
  await page.context().close();
});

test('the processor answers where there is no adapter', options, async () => {
  const without = await startBrowser();
  try {
    // The script would say so if it were asked.
    const page = await openedWith(FAULTS['does not start'], without);
    await page.getByText('nano on this browser').waitFor();
    assert.equal(await asked(page), 'gorilla.');
    assert.equal(await page.getByText('WebGPU').count(), 0);
  } finally {
    await without.close();
  }
});

test('a GPU that is a program is used only when it is asked for', options, async () => {
  const page = await openPage(browser, server.address);
  await page.getByText('nano on this browser').waitFor({ timeout: 60_000 });
  assert.equal(await page.getByText('WebGPU').count(), 0);
  await page.context().close();
});

test('WebGPU answers as the program', answered, async () => {
  const page = await openPage(browser, `${server.address}?form=webgpu`);
  page.setDefaultTimeout(900_000);
  page.on('console', (message) => console.log(message.text().slice(0, 500)));
  const start = performance.now();
  const seconds = () => ((performance.now() - start) / 1000).toFixed(1);
  await page.getByText('nano on WebGPU in this browser').waitFor();
  console.log(`the model is ready after ${seconds()} s`);
  assert.equal(await asked(page), 'gorilla.');
  console.log(`the first answer is there after ${seconds()} s`);
  await shot(page, 'webgpu');
  const command = ['segment', '--image', demo('scene1.jpg'), '--text', 'the gorilla', '--json'];
  const expected = JSON.parse(execFileSync(program(), command, { encoding: 'utf8' }));
  const { content } = await downloaded(page, async () => {
    await page.locator('.turn').getByRole('button', { name: 'Export' }).click();
    await page.getByRole('menuitem', { name: 'COCO JSON' }).click();
  });
  const masks = JSON.parse(content).annotations.map(({ segmentation }) => segmentation);
  assert.equal(masks.length, expected.masks.length);
  masks.forEach((mask, i) => assert.ok(iou(mask, expected.masks[i]) >= 0.99));
  assert.equal(await page.getByText('nano on WebGPU in this browser').count(), 1);
  await page.context().close();
});

/** Answers of the worker in one form, alone, to each call about scene 1. */
function answers(page, form, calls) {
  const file = readFileSync(demo('scene1.jpg')).toString('base64');
  return page.evaluate(
    async ([form, calls, file]) => {
      const worker = new Worker(new URL(`worker.js?form=${form}`, document.baseURI), { type: 'module' });
      const forms = [];
      const waiting = new Map();
      worker.onmessage = ({ data }) => {
        if (data.form) {
          forms.push(data.form);
        } else if (data.result || data.failure || data.fault) {
          waiting.get(data.id)(data.result ?? { failed: JSON.stringify(data) });
        }
      };
      const ask = (call) =>
        new Promise((resolve) => {
          waiting.set(waiting.size, resolve);
          worker.postMessage({ id: waiting.size - 1, call });
        });
      const bytes = Uint8Array.from(atob(file), (sign) => sign.charCodeAt(0));
      const { id } = await ask({ method: 'encode', file: new Blob([bytes]) });
      const all = [];
      for (const { goal, ...input } of calls) {
        const json = JSON.stringify({ ...input, picture: id });
        all.push(await ask(goal ? { method: 'ask', goal, question: json } : { method: 'masks', prompt: json }));
      }
      worker.terminate();
      return { forms, all };
    },
    [form, calls, file],
  );
}

test('every kind of question has the same answer on WebGPU as on the processor', answered, async () => {
  const content = (name) => readFileSync(demo(name)).toString('base64');
  const phrase = { type: 'text', text: 'the gorilla' };
  const box = { type: 'box', box: [108, 52, 205, 171] };
  const sound = { type: 'sound', data: content('scene1-4-1.wav') };
  const picture = { type: 'picture', data: content('scene1-3-1.png') };
  const points = { type: 'points', points: [[160, 100]], labels: [1] };
  const alone = [phrase, box, picture, sound, points].map((one) => ({ goal: 'segment', references: [one] }));
  const calls = [
    ...alone,
    { goal: 'segment', question: 'Can you segment {1} and {2} in this image?', references: [box, sound], choose: 'likeliest' },
    { goal: 'segment', references: [phrase], explain: true },
    { goal: 'describe', references: [box] },
    { goal: 'chat', question: 'Can you segment the tree in this image?' },
    { points: [[160, 100], [20, 20]], labels: [1, 0], candidates: 'all' },
  ];
  const page = await openPage(browser, `${server.address}?form=flex`);
  const expected = await answers(page, 'flex', calls);
  const found = await answers(page, 'webgpu', calls);
  assert.deepEqual(found.forms, ['webgpu']);
  expected.all.forEach((one, i) => {
    const other = found.all[i];
    const about = JSON.stringify([calls[i], other]).slice(0, 2000);
    assert.equal(one.failed, undefined, about);
    assert.equal(other.text, one.text, about);
    assert.equal(other.masks.length, one.masks.length, about);
    one.masks.forEach((mask, j) => {
      assert.ok(iou(mask, other.masks[j]) >= 0.99, about);
      assert.ok(Math.abs(mask.score - other.masks[j].score) < 0.01, about);
    });
    assert.equal(other.explanations?.length, one.explanations?.length, about);
  });
  await page.context().close();
});
