// Milliseconds from the start of a navigation until the page answers to clicks and shows its model,
// each in a fresh context without a cache; printed as JSON.
import { startBrowser, startServer } from './program.mjs';

const RUNS = 9;

/** Notes the time at which the scenes can be chosen and the model's name is there. */
function watch() {
  const ready = () =>
    document.querySelector('.model b') && /Scene 1/.test(document.body?.innerText ?? '');
  const observer = new MutationObserver(() => {
    if (ready()) {
      observer.disconnect();
      // After the frame in which it can be seen.
      requestAnimationFrame(() => setTimeout(() => (window.interactive = performance.now())));
    }
  });
  observer.observe(document, { childList: true, subtree: true, characterData: true });
}

const [server, browser] = await Promise.all([startServer(), startBrowser()]);
const times = [];
try {
  for (let run = 0; run < RUNS; run++) {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
    const page = await context.newPage();
    await page.addInitScript(watch);
    await page.goto(server.address, { waitUntil: 'commit' });
    await page.waitForFunction(() => window.interactive !== undefined);
    times.push(await page.evaluate(() => window.interactive));
    await context.close();
  }
} finally {
  await browser.close();
  server.stop();
}
console.log(JSON.stringify(times));
