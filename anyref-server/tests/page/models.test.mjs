// The page of a server with several models.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { answer, nano, openPage, openScene, shot, startBrowser, startServer } from './program.mjs';

let server;
let browser;
before(async () => {
  const models = ['first', 'second'].flatMap((name) => ['--model', `${name}=${nano}`]);
  [server, browser] = await Promise.all([startServer(...models), startBrowser()]);
});
after(async () => {
  await browser?.close();
  server?.stop();
});

test('another model is chosen, which is loaded when it is asked', async () => {
  const page = await openPage(browser, server.address);
  const models = page.getByRole('combobox', { name: 'Model' });
  const badge = page.getByRole('button', { name: /^(first|second) / });
  await openScene(page, 1);
  const ask = async (number) => {
    const question = page.getByRole('textbox', { name: 'Question' });
    await question.fill('the gorilla');
    await question.press('Enter');
    const turn = await answer(page, number);
    assert.equal(await turn.locator('.words').innerText(), 'gorilla.');
  };
  await ask(1);
  assert.match(await badge.innerText(), /^first on /);

  await models.selectOption('second');
  await page.getByText('is loaded when it is asked').waitFor();
  await ask(2);
  await page.getByRole('button', { name: /^second on / }).waitFor();
  await shot(page, 'models');

  const list = await (await fetch(`${server.address}v1/models`)).json();
  assert.deepEqual(
    list.data.map(({ id, loaded }) => [id, loaded]),
    [
      ['first', true],
      ['second', true],
    ],
  );
  assert.deepEqual(page.faults, []);
  await page.context().close();
});
