// Errors say what to do, and the page goes on. A small server in front of the page fails as told.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startMock } from './mock.mjs';
import { openPage, openScene, pixel, shot, startBrowser, startServer } from './program.mjs';

let browser;
let mock;
before(async () => {
  [browser, mock] = await Promise.all([startBrowser(), startMock()]);
});
after(async () => {
  await browser?.close();
  mock?.stop();
});

async function asked(page) {
  await openScene(page, 1);
  await page.getByRole('textbox', { name: 'Question' }).fill('the gorilla');
  await page.getByRole('textbox', { name: 'Question' }).press('Enter');
}

const failures = [
  ['busy', /Ask again in 2 seconds/],
  ['broken', /ended its answer early|connection to the server broke/],
  ['garbage', /answered 500 without a reason/],
  ['gone', /does not answer/],
];

for (const [order, message] of failures) {
  test(`an answer that is ${order} is told, and another try works`, async () => {
    const page = await openPage(browser, mock.address);
    mock.order(order);
    await asked(page);
    const failure = page.locator('.failure');
    await failure.waitFor();
    assert.match(await failure.innerText(), message);
    await shot(page, `error-${order}`);
    mock.order('well');
    await page.getByRole('button', { name: 'Try again' }).click();
    await page.locator('.masks li').waitFor();
    assert.equal(await page.locator('.words').innerText(), 'gorilla.');
    assert.deepEqual(page.faults, []);
    await page.context().close();
  });
}

test('words are shown as they come, and an answer can be stopped', async () => {
  const page = await openPage(browser, mock.address);
  mock.order('slow');
  await asked(page);
  await page.locator('.words.writing').getByText('gor').waitFor();
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('Stopped.').waitFor();
  mock.order('well');
  await page.getByRole('button', { name: 'Ask again', exact: true }).click();
  await page.locator('.masks li').waitFor();
  await page.context().close();
});

test('a mask is drawn when it arrives, and goes with an answer that is stopped', async () => {
  const page = await openPage(browser, mock.address);
  await openScene(page, 1);
  const plain = await pixel(page, 128, 128);
  mock.order('mask first');
  await page.getByRole('textbox', { name: 'Question' }).fill('the gorilla');
  await page.getByRole('textbox', { name: 'Question' }).press('Enter');
  await page.getByRole('application', { name: /1 mask shown/ }).waitFor();
  // The answer is still being written.
  assert.equal(await page.locator('.words.writing').innerText(), 'gor');
  assert.notDeepEqual(await pixel(page, 128, 128), plain);
  await shot(page, 'early-mask');
  await page.getByRole('button', { name: 'Stop' }).click();
  await page.getByText('Stopped.').waitFor();
  assert.deepEqual(await pixel(page, 128, 128), plain);
  mock.order('well');
  await page.getByRole('button', { name: 'Ask again', exact: true }).click();
  await page.locator('.masks li').waitFor();
  assert.deepEqual(page.faults, []);
  await page.context().close();
});

test('a picture that the server forgot is sent again', async () => {
  const page = await openPage(browser, mock.address);
  mock.order('forgetful');
  await asked(page);
  await page.locator('.masks li').waitFor();
  assert.ok(mock.uploads() >= 2);
  await page.context().close();
});

test('a server that is not there is told at the start, and found again', async () => {
  mock.order('gone');
  const page = await openPage(browser, mock.address);
  await page.locator('.offline').getByText('anyref serve').waitFor();
  await shot(page, 'offline');
  mock.order('well');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByText('mock').first().waitFor();
  await page.context().close();
});

test('files of other kinds are refused with a reason', async () => {
  const page = await openPage(browser, mock.address);
  const chooser = page.waitForEvent('filechooser');
  await page.getByRole('button', { name: 'Choose a picture' }).click();
  await (await chooser).setFiles({ name: 'a.png', mimeType: 'image/png', buffer: Buffer.from('no picture') });
  await page.locator('#toast.shown').getByText('a.png is no picture').waitFor();
  await page.context().close();
});

test('a token is asked for and kept', async () => {
  const server = await startServer('--token', 'secret');
  try {
    const page = await openPage(browser, server.address.split('#')[0]);
    const dialog = page.getByRole('dialog', { name: 'Token' });
    await dialog.getByLabel('Token').fill('secret');
    await shot(page, 'token');
    await dialog.getByRole('button', { name: 'Connect' }).click();
    await page.getByText('nano').first().waitFor();
    // The address that the program prints has it.
    const other = await openPage(browser, server.address);
    await other.getByText('nano').first().waitFor();
    assert.equal(new URL(other.url()).hash, '');
  } finally {
    server.stop();
  }
});
