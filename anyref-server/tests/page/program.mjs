// The program, Chromium, and what the tests ask of both.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { existsSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, '../../..');
const require = createRequire(join(root, 'anyref-server/page/package.json'));
const { chromium } = require('playwright-core');

/** A file of the bundled scenes. */
export const demo = (name) => join(root, 'assets/demo', name);

/** Folder of the shipped model. */
export const nano = join(root, 'assets/nano');

/** Folder of screenshots; none are made where there is no such variable. */
const shots = process.env.ANYREF_SCREENSHOTS;

/** The program, named by ANYREF. */
export function program() {
  const file = process.env.ANYREF ?? join(root, 'target/release/anyref');
  if (!existsSync(file)) {
    throw new Error(`there is no ${file}: build it, or name it by ANYREF`);
  }
  return file;
}

/** Starts `anyref serve`. */
export async function startServer(...more) {
  const server = spawn(program(), ['serve', '--listen', '127.0.0.1:0', ...more]);
  const address = await new Promise((resolve, reject) => {
    let said = '';
    const hear = (text) => {
      said += text;
      const found = /http:\/\/\S+/.exec(said);
      if (found) {
        resolve(found[0]);
      }
    };
    server.stdout.on('data', hear);
    server.stderr.on('data', hear);
    server.on('exit', (code) => reject(new Error(`the server ended with ${code}: ${said}`)));
  });
  return { address, stop: () => server.kill() };
}

/** Starts the browser, with further arguments. */
export function startBrowser(more = []) {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--use-fake-device-for-media-stream',
      '--use-fake-ui-for-media-stream',
      '--autoplay-policy=no-user-gesture-required',
      ...more,
    ],
  });
}

/** Opens the page; errors of its scripts and refusals of its policy fail the test. */
export async function openPage(browser, address, options = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    acceptDownloads: true,
    permissions: ['clipboard-read', 'clipboard-write'],
    ...options,
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.faults = [];
  page.on('pageerror', (error) => page.faults.push(error.message));
  page.on('console', (message) => {
    if (/Content Security Policy|Refused to/.test(message.text())) {
      page.faults.push(message.text());
    }
  });
  await page.goto(address);
  return page;
}

/** Keeps a picture of the page. */
export async function shot(page, name) {
  if (shots) {
    mkdirSync(shots, { recursive: true });
    await page.screenshot({ path: join(shots, `${name}.png`) });
  }
}

/** Opens a bundled scene. */
export async function openScene(page, number) {
  await page.getByRole('button', { name: `Scene ${number}` }).click();
  await page.getByRole('application').waitFor();
}

/** Chooses a file by a button. */
export async function chooseFile(page, button, file) {
  const chooser = page.waitForEvent('filechooser');
  await button.click();
  await (await chooser).setFiles(file);
}

/** Draws a box over the picture, in pixels of a picture of this size. */
export async function drawBox(page, [x0, y0, x1, y1], size = [256, 256]) {
  const place = await page.getByRole('application').boundingBox();
  const at = (x, y) => [place.x + (x / size[0]) * place.width, place.y + (y / size[1]) * place.height];
  await page.mouse.move(...at(x0, y0));
  await page.mouse.down();
  await page.mouse.move(...at((x0 + x1) / 2, (y0 + y1) / 2));
  await page.mouse.move(...at(x1, y1));
  await page.mouse.up();
}

/** Waits for the newest answer; its sentence. */
export async function answer(page, number = 1) {
  const turn = page.locator('.turn').nth(number - 1);
  await turn.locator('.words:not(.writing), .failure, .masks').first().waitFor();
  return turn;
}

/** Content of a file that the page offers. */
export async function downloaded(page, run) {
  const waiting = page.waitForEvent('download');
  await run();
  const file = await waiting;
  const chunks = [];
  for await (const chunk of await file.createReadStream()) {
    chunks.push(chunk);
  }
  return { name: file.suggestedFilename(), content: Buffer.concat(chunks) };
}

/** Colour of a pixel of the picture as it is drawn, in pixels of a picture of this size. */
export function pixel(page, x, y, size = 256) {
  return page.evaluate(
    ([x, y, size]) => {
      const canvas = document.querySelector('.surface canvas');
      const scale = canvas.width / size;
      return [...canvas.getContext('2d').getImageData(x * scale, y * scale, 1, 1).data];
    },
    [x, y, size],
  );
}
