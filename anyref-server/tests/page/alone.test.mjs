// The page of the browser alone, as `cargo xtask web` writes it into the folder ANYREF_WEB, below a
// path of a static file server. Its answers are those of the program.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { iou, serveFolder } from './alone.mjs';
import { answer, chooseFile, demo, downloaded, openPage, openScene, program, shot, startBrowser } from './program.mjs';

const folder = process.env.ANYREF_WEB;
const options = { skip: folder ? false : 'ANYREF_WEB names no folder', timeout: 120_000 };

let server;
let browser;
before(async () => {
  if (folder) {
    [server, browser] = await Promise.all([serveFolder(folder), startBrowser()]);
  }
});
after(async () => {
  await browser?.close();
  server?.stop();
});

/** The program's answer. */
function told(command, ...more) {
  const asked = [command, '--image', demo('scene1.jpg'), ...more, '--json'];
  return JSON.parse(execFileSync(program(), asked, { encoding: 'utf8' }));
}

/** Masks of a turn, as the page exports them. */
async function masks(page, turn) {
  const { content } = await downloaded(page, async () => {
    await turn.getByRole('button', { name: 'Export' }).click();
    await page.getByRole('menuitem', { name: 'COCO JSON' }).click();
  });
  return JSON.parse(content).annotations.map(({ segmentation }) => segmentation);
}

/** Opens the page and waits for its model. */
async function opened() {
  const page = await openPage(browser, server.address);
  page.setDefaultTimeout(60_000);
  const start = performance.now();
  await page.getByText('nano on this browser').waitFor();
  console.log(`the model is ready after ${Math.round(performance.now() - start)} ms`);
  return page;
}

const question = (page) => page.getByRole('textbox', { name: 'Question' });
const tool = (page, name) => page.getByRole('toolbar').getByRole('button', { name });

/** Ways to ask about the first scene, each with the program's question. */
const ASKED = [
  {
    name: 'words',
    ask: async (page) => {
      await question(page).fill('the gorilla and grapes');
      await question(page).press('Enter');
    },
    question: ['segment', '--text', 'the gorilla and grapes'],
  },
  {
    name: 'sound',
    ask: async (page) => {
      await chooseFile(page, tool(page, 'Sound'), demo('scene1-4-1.wav'));
      await page.locator('.composer .chip').waitFor();
      await question(page).press('Enter');
    },
    question: ['segment', '--audio', demo('scene1-4-1.wav')],
  },
  {
    name: 'box',
    ask: (page) => page.getByRole('button', { name: 'Describe what is in a box' }).click(),
    question: ['describe', '--box', '16.2,184.5,67.6,256.0'],
  },
  {
    name: 'picture',
    ask: (page) => page.getByRole('button', { name: 'Find the thing in another picture' }).click(),
    question: ['segment', '--ref-image', demo('scene1-3-1.png')],
  },
  {
    name: 'mixture',
    ask: (page) => page.getByRole('button', { name: 'Find grapes, above this box' }).click(),
    question: [
      ...['segment', '--box', '108.4,52.4,204.9,171.0'],
      ...['--prompt', 'Can you segment grapes, above {1} in this image?'],
    ],
  },
];

test('words, boxes, pictures and sounds are answered as by the program', options, async (context) => {
  const page = await opened();
  for (const { name, ask, question } of ASKED) {
    await context.test(name, async () => {
      await page.getByRole('link', { name: 'AnyRef, begin' }).click();
      await openScene(page, 1);
      const start = performance.now();
      await ask(page);
      const turn = await answer(page);
      console.log(`${name}: ${Math.round(performance.now() - start)} ms`);
      const expected = told(...question);
      await shot(page, `alone-${name}`);
      assert.equal(await turn.locator('.words').innerText(), expected.text);
      const made = await masks(page, turn);
      // The program describes without masks.
      if (question[0] === 'segment') {
        assert.ok(made.length > 0);
        assert.equal(made.length, expected.masks.length);
        made.forEach((mask, i) => {
          const overlap = iou(mask, expected.masks[i]);
          assert.ok(overlap >= 0.99, `mask ${i}: IoU ${overlap}`);
        });
      }
    });
  }
  assert.deepEqual(page.faults, []);
  const elsewhere = server.asked.filter((path) => !path.startsWith('/some/where/'));
  assert.deepEqual(elsewhere.filter((path) => path !== '/favicon.ico'), []);
  await page.context().close();
});

test('points make a mask, a chat streams, and an answer is explained', options, async () => {
  const page = await opened();
  await openScene(page, 1);
  await tool(page, 'Points').click();
  const place = await page.getByRole('application').boundingBox();
  const position = { x: (160 / 256) * place.width, y: (100 / 256) * place.height };
  await page.getByRole('application').click({ position });
  await question(page).press('Enter');
  await answer(page, 1);
  await page.getByRole('button', { name: 'Chat', exact: true }).click();
  for (const number of [2, 3]) {
    await question(page).fill('Can you segment the gorilla in this image?');
    await question(page).press('Enter');
    assert.equal(await (await answer(page, number)).locator('.words').innerText(), 'gorilla.');
  }
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await question(page).fill('the gorilla');
  await question(page).press('Enter');
  const turn = await answer(page, 4);
  await turn.getByRole('button', { name: 'Explain' }).click();
  await turn.locator('.shares').waitFor();
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('files that are missing are named', options, async () => {
  const other = await browser.newContext();
  await other.route('**/model/config.json', (route) => route.fulfill({ status: 404 }));
  const broken = await other.newPage();
  await broken.goto(server.address);
  await broken.getByText('The file model/config.json is missing').waitFor({ timeout: 60_000 });
  await other.close();
});
