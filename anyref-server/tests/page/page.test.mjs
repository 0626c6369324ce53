// The page as a person uses it, with the shipped model behind it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, test } from 'node:test';
import {
  answer,
  chooseFile,
  demo,
  downloaded,
  drawBox,
  openPage,
  openScene,
  pixel,
  shot,
  startBrowser,
  startServer,
} from './program.mjs';

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  server?.stop();
});

/** Runs a test on a page of its own, which has to be without faults at the end. */
function onPage(name, options, run) {
  test(name, async () => {
    const page = await openPage(browser, server.address, options);
    try {
      await run(page);
      assert.deepEqual(page.faults, []);
    } catch (error) {
      await shot(page, `failed-${name.replace(/\W+/g, '-')}`);
      throw error;
    } finally {
      await page.context().close();
    }
  });
}

const question = (page) => page.getByRole('textbox', { name: 'Question' });
const tool = (page, name) => page.getByRole('toolbar').getByRole('button', { name });

onPage('a picture is chosen and words find a thing', {}, async (page) => {
  await shot(page, 'welcome');
  await chooseFile(page, page.getByRole('button', { name: 'Choose a picture' }), demo('scene1.jpg'));
  await question(page).fill('the gorilla');
  await question(page).press('Enter');
  const turn = await answer(page);
  assert.equal(await turn.locator('.words').innerText(), 'gorilla.');
  const plain = await pixel(page, 10, 150);
  const masked = await pixel(page, 160, 90);
  assert.ok(masked[0] > plain[0] + 40, `${masked} ${plain}`);
  // The word and its mask light up together.
  const word = turn.getByRole('button', { name: 'gorilla', exact: true });
  await word.hover();
  assert.ok(await word.evaluate((element) => element.classList.contains('lit')));
  const lit = await pixel(page, 160, 90);
  assert.ok(lit[0] > masked[0], `${lit} ${masked}`);
  await page.mouse.move(5, 5);
  // Hidden, cut out, faint.
  await turn.getByRole('button', { name: 'Hide gorilla' }).click();
  assert.ok((await pixel(page, 160, 90))[0] < masked[0] - 30);
  await turn.getByRole('button', { name: 'Show gorilla' }).click();
  await page.getByRole('button', { name: 'Cut out' }).click();
  assert.ok((await pixel(page, 10, 150))[3] < 40);
  await page.getByRole('button', { name: 'Cut out' }).click();
  await page.getByRole('slider', { name: 'Opacity of masks' }).fill('0');
  assert.ok((await pixel(page, 150, 90))[0] < masked[0] - 30);
});

onPage('a box is drawn, described and found', {}, async (page) => {
  await openScene(page, 1);
  await page.getByRole('button', { name: 'Describe', exact: true }).click();
  await drawBox(page, [108, 52, 205, 171]);
  const chip = page.locator('.composer .chip');
  assert.match(await chip.innerText(), /box 10[78], 5[12], 20[56], 17[12]/);
  await shot(page, 'box');
  await question(page).press('Enter');
  assert.match(await (await answer(page)).locator('.words').innerText(), /gorilla/);
  await page.getByRole('button', { name: 'Find', exact: true }).click();
  await tool(page, 'Box').click();
  await drawBox(page, [108, 52, 205, 171]);
  await question(page).press('Enter');
  const turn = await answer(page, 2);
  assert.match(await turn.locator('.words').innerText(), /^gorilla/);
  assert.equal(await turn.locator('.masks li').count(), 1);
});

onPage('points make a mask that further points refine, and undo goes back', {}, async (page) => {
  await openScene(page, 1);
  await tool(page, 'Points').click();
  const place = await page.getByRole('application').boundingBox();
  const at = (x, y) => ({ position: { x: (x / 256) * place.width, y: (y / 256) * place.height } });
  const picture = page.getByRole('application');
  await picture.click(at(160, 100));
  await picture.click({ ...at(60, 200), button: 'right' });
  assert.match(await page.locator('.composer .chip').innerText(), /2 points/);
  assert.equal(await page.locator('.marks .dot.on').count(), 1);
  assert.equal(await page.locator('.marks .dot.off').count(), 1);
  await question(page).press('Enter');
  const turn = await answer(page);
  const area = () => turn.locator('.masks .quiet').innerText();
  await area();
  const before = await page.evaluate(() => document.querySelector('.surface canvas').toDataURL());
  await tool(page, 'Points').click();
  await picture.click({ ...at(160, 60), modifiers: ['Alt'] });
  await page.waitForFunction(() => document.querySelectorAll('.marks .dot').length === 3);
  await page.waitForFunction(
    (before) => document.querySelector('.surface canvas').toDataURL() !== before,
    before,
  );
  await shot(page, 'refined');
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.marks .dot').length === 2);
});

onPage('a sound file and a recording are references', {}, async (page) => {
  await openScene(page, 1);
  await chooseFile(page, tool(page, 'Sound'), demo('scene1-4-1.wav'));
  const chip = page.locator('.composer .chip');
  await chip.waitFor();
  const heights = await chip.locator('.wave i').evaluateAll((bars) => new Set(bars.map((bar) => bar.style.height)).size);
  assert.ok(heights > 5, `${heights} heights of bars`);
  await question(page).press('Enter');
  const turn = await answer(page);
  assert.equal(await turn.locator('.words').innerText(), 'gorilla.');
  await shot(page, 'sound');
  // Chromium's own test tone.
  await tool(page, 'Record').click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Record' }).click();
  await page.waitForTimeout(1500);
  await dialog.getByRole('button', { name: 'Stop' }).click();
  await dialog.getByText('seconds recorded').waitFor();
  await dialog.getByRole('button', { name: 'Use this sound' }).click();
  await page.locator('.composer .chip').waitFor();
  await question(page).press('Enter');
  await answer(page, 2);
});

onPage('a second picture with a marked part is a reference', {}, async (page) => {
  await openScene(page, 1);
  const dialog = page.getByRole('dialog');
  await chooseFile(page, tool(page, 'Picture'), demo('scene1.jpg'));
  await dialog.getByRole('button', { name: 'A box' }).click();
  const place = await dialog.getByRole('application').boundingBox();
  await page.mouse.move(place.x + place.width * 0.42, place.y + place.height * 0.2);
  await page.mouse.down();
  await page.mouse.move(place.x + place.width * 0.8, place.y + place.height * 0.67);
  await page.mouse.up();
  await dialog.getByText(/^The box .* counts/).waitFor();
  await shot(page, 'reference');
  await dialog.getByRole('button', { name: 'Use this picture' }).click();
  await page.locator('.composer .chip').first().waitFor();
  await question(page).press('Enter');
  assert.equal(await (await answer(page)).locator('.words').innerText(), 'gorilla.');
  // Painted.
  await chooseFile(page, tool(page, 'Picture'), demo('scene1-3-1.png'));
  await dialog.getByRole('button', { name: 'Paint it' }).click();
  const small = await dialog.getByRole('application').boundingBox();
  await page.mouse.move(small.x + small.width * 0.3, small.y + small.height * 0.3);
  await page.mouse.down();
  for (let i = 0; i <= 20; i++) {
    const x = small.x + small.width * (i % 2 ? 0.3 : 0.7);
    await page.mouse.move(x, small.y + small.height * (0.2 + 0.03 * i));
  }
  await page.mouse.up();
  await dialog.getByRole('button', { name: 'Use this picture' }).click();
  await page.locator('.composer .chip').first().waitFor();
  await question(page).press('Enter');
  await answer(page, 2);
});

onPage('a mixture is asked with its references where they belong', {}, async (page) => {
  await openScene(page, 5);
  await tool(page, 'Box').click();
  await drawBox(page, [18, 38, 94, 97]);
  await chooseFile(page, tool(page, 'Sound'), demo('scene5-5-1.wav'));
  const chips = page.locator('.composer .chip');
  await chips.nth(1).waitFor();
  // In the other order, by the keyboard.
  await chips.nth(1).focus();
  await page.keyboard.press('ArrowLeft');
  assert.match(await chips.nth(1).innerText(), /box/);
  assert.equal(await question(page).inputValue(), '{2} {1}');
  await question(page).fill('the thing that makes {1}, right of {2}');
  await question(page).press('Enter');
  const turn = await answer(page);
  assert.equal(await turn.locator('.words').innerText(), 'chicken right of the yak.');
  await shot(page, 'mixture');
  await turn.getByRole('button', { name: 'Explain' }).click();
  await turn.locator('.shares').waitFor();
  assert.match(await turn.locator('.shares').innerText(), /picture[\s\S]*words[\s\S]*reference 2/);
  await shot(page, 'explained');
});

onPage('words stream in a chat', {}, async (page) => {
  await openScene(page, 1);
  const streams = [];
  page.on('response', (response) => streams.push(response.headers()['content-type'] ?? ''));
  await page.getByRole('button', { name: 'Chat', exact: true }).click();
  for (const number of [1, 2]) {
    await question(page).fill('Can you segment the gorilla in this image?');
    await question(page).press('Enter');
    const turn = await answer(page, number);
    assert.equal(await turn.locator('.words').innerText(), 'gorilla.');
  }
  assert.ok(streams.includes('text/event-stream'), streams.join());
});

onPage('answers are exported', {}, async (page) => {
  await openScene(page, 1);
  await question(page).fill('the gorilla and grapes');
  await question(page).press('Enter');
  const turn = await answer(page);
  const masks = await turn.locator('.masks li').count();
  const entry = (name) => async () => {
    await turn.getByRole('button', { name: 'Export' }).click();
    await page.getByRole('menuitem', { name }).click();
  };
  const coco = await downloaded(page, entry('COCO JSON'));
  const file = JSON.parse(coco.content);
  assert.equal(coco.name, 'scene1-coco.json');
  assert.equal(file.annotations.length, masks);
  assert.deepEqual(file.annotations[0].segmentation.size, [256, 256]);
  const outlines = await downloaded(page, entry('SVG'));
  assert.equal(outlines.content.toString().match(/<path/g).length, masks);
  const png = await downloaded(page, entry('Masks as PNG'));
  assert.equal(png.content.subarray(1, 4).toString(), 'PNG');
  const cutOut = await downloaded(page, entry('Cut-out with transparency'));
  assert.equal(cutOut.content[25], 6, 'PNG with alpha');
  await entry('Copy as command line')();
  await page.getByText('The command line is copied.').first().waitFor();
  const command = await page.evaluate(() => navigator.clipboard.readText());
  assert.match(command, /^anyref segment --image scene1.jpg --prompt 'Can you segment the gorilla/);
  await entry('Copy as curl')();
  await page.getByText('The curl command is copied.').first().waitFor();
  const curl = await page.evaluate(() => navigator.clipboard.readText());
  // It runs as it is.
  const { execFileSync } = await import('node:child_process');
  const answered = execFileSync('bash', ['-c', curl], { cwd: demo('.') });
  assert.equal(JSON.parse(answered).masks.length, masks);
});

onPage('everything is done by the keyboard alone', {}, async (page) => {
  await page.getByRole('button', { name: 'Scene 1' }).focus();
  await page.keyboard.press('Enter');
  await question(page).waitFor();
  await page.waitForFunction(() => document.activeElement?.id === 'question');
  await page.keyboard.press('Shift+Tab');
  await page.keyboard.press('b');
  await page.waitForFunction(() => document.activeElement?.getAttribute('role') === 'application');
  const press = async (key, times) => {
    for (let i = 0; i < times; i++) {
      await page.keyboard.press(key);
    }
  };
  await press('ArrowLeft', 3);
  await press('ArrowUp', 12);
  await page.keyboard.press('Enter');
  await press('ArrowRight', 16);
  await press('ArrowDown', 20);
  await page.keyboard.press('Enter');
  await page.locator('.composer .chip').waitFor();
  await page.waitForFunction(() => document.activeElement?.id === 'question');
  await page.keyboard.press('Enter');
  const turn = await answer(page);
  assert.match(await turn.locator('.words').innerText(), /^gorilla/);
  // Removed and brought back.
  await turn.getByRole('button', { name: 'Remove this question' }).focus();
  await page.keyboard.press('Enter');
  assert.equal(await page.locator('.turn').count(), 0);
  await page.getByRole('button', { name: 'Undo' }).focus();
  await page.keyboard.press('Control+z');
  assert.equal(await page.locator('.turn').count(), 1);
});

onPage('several pictures keep their own questions', {}, async (page) => {
  await openScene(page, 1);
  await question(page).fill('the gorilla');
  await question(page).press('Enter');
  await answer(page);
  await page.getByRole('button', { name: 'New picture' }).click();
  await openScene(page, 2);
  assert.equal(await page.locator('.turn').count(), 0);
  await page.getByRole('button', { name: 'scene1.jpg', exact: true }).click();
  assert.equal(await page.locator('.turn').count(), 1);
});

onPage('files are dropped and pasted', {}, async (page) => {
  const content = readFileSync(demo('scene1.jpg')).toString('base64');
  const transfer = await page.evaluateHandle((content) => {
    const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], 'dropped.jpg', { type: 'image/jpeg' }));
    return transfer;
  }, content);
  await page.dispatchEvent('body', 'drop', { dataTransfer: transfer });
  await page.getByText('dropped.jpg').first().waitFor();
  await page.evaluate((transfer) => {
    dispatchEvent(new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true }));
  }, transfer);
  await page.getByRole('dialog').getByRole('button', { name: 'Ask about it' }).click();
  await page.waitForFunction(() => document.querySelectorAll('.thumb').length === 2);
});

onPage('what the model knows is shown and used', {}, async (page) => {
  await openScene(page, 1);
  await page.getByRole('button', { name: /nano/ }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('searchbox').fill('goril');
  await dialog.getByRole('button', { name: 'gorilla' }).click();
  assert.equal(await question(page).inputValue(), 'the gorilla');
});

for (const colorScheme of ['light', 'dark']) {
  const phone = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true, colorScheme };
  onPage(`a phone of 360 pixels, ${colorScheme}`, phone, async (page) => {
    const wide = () => page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok((await wide()) <= 360);
    await shot(page, `phone-welcome-${colorScheme}`);
    await page.getByRole('button', { name: 'Scene 5' }).tap();
    await page.getByText('Find the thing that makes this sound, right of this box').tap();
    const turn = await answer(page);
    assert.equal(await turn.locator('.words').innerText(), 'chicken right of the yak.');
    await page.waitForTimeout(500);
    await shot(page, `phone-${colorScheme}`);
    assert.ok((await wide()) <= 360);
    // What is touched is large enough, and all of the composer is on the screen.
    for (const button of await page.locator('.tools button:visible, .send').all()) {
      const { y, width, height } = await button.boundingBox();
      assert.ok(width >= 34 && height >= 34 && y + height <= 740);
    }
  });
  onPage(`text has enough contrast, ${colorScheme}`, { colorScheme }, async (page) => {
    await openScene(page, 1);
    await question(page).fill('the gorilla and grapes');
    await question(page).press('Enter');
    await answer(page);
    const poor = await page.evaluate(contrasts);
    assert.deepEqual(poor, []);
  });
}

/** Text on the page whose contrast with what is behind it is below AA. */
function contrasts() {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const channels = (colour, ground) => {
    canvas.clearRect(0, 0, 1, 1);
    for (const layer of [ground, colour]) {
      canvas.fillStyle = layer;
      canvas.fillRect(0, 0, 1, 1);
    }
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (rgb) => {
    const [r, g, b] = rgb.map((value) => {
      const part = value / 255;
      return part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) {
      layers.unshift(getComputedStyle(at).backgroundColor);
    }
    return layers.reduce((ground, layer) => `rgb(${channels(layer, ground).join(' ')})`, 'white');
  };
  const poor = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!own || !element.checkVisibility({ opacityProperty: true }) || element.closest('[disabled], .backdrop, .unseen, #toast, svg, .veil, .skip')) {
      continue;
    }
    const ground = behind(element);
    const [a, b] = [light(channels(getComputedStyle(element).color, ground)), light(channels(ground, 'white'))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5) {
      poor.push(`${element.tagName} ${element.className} ${contrast.toFixed(2)}: ${element.textContent.slice(0, 30)}`);
    }
  }
  return poor;
}

onPage('every control has a name', {}, async (page) => {
  await openScene(page, 5);
  await page.getByText('Find the thing that makes this sound, right of this box').click();
  await answer(page);
  const nameless = await page.evaluate(() =>
    [...document.querySelectorAll('button, input, textarea, a, [role=button], [role=application]')]
      .filter((one) => one.checkVisibility())
      .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim()))
      .map((one) => one.outerHTML.slice(0, 100)),
  );
  assert.deepEqual(nameless, []);
});

onPage('the description of the API is readable', {}, async (page) => {
  await page.goto(`${server.address}docs`);
  await page.getByRole('heading', { name: 'Calls' }).waitFor();
  assert.ok(await page.getByText('/v1/chat/completions').first().isVisible());
  await shot(page, 'docs');
});
