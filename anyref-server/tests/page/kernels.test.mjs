// The processor's kernels on WebAssembly's vectors against the portable form, bit for bit: the module
// ANYREF_WEB_KERNELS, as `cargo xtask web --kernels` compiles it, exports a function for each.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

const file = process.env.ANYREF_WEB_KERNELS;
const options = { skip: file ? false : 'ANYREF_WEB_KERNELS names no module', timeout: 240_000 };

test('kernels on vectors give the values of the portable form', options, async (context) => {
  const module = await WebAssembly.compile(readFileSync(file));
  // What the kernels never call: random numbers of the browser.
  const imports = {};
  for (const { module: from, name, kind } of WebAssembly.Module.imports(module)) {
    assert.equal(kind, 'function', `${from}.${name}`);
    (imports[from] ??= {})[name] = () => {
      throw new Error(`the kernels called ${name} of the browser`);
    };
  }
  const names = WebAssembly.Module.exports(module)
    .map(({ name }) => name)
    .filter((name) => name.startsWith('kernels_'));
  assert.ok(names.length >= 8, `only ${names.length} kernels`);
  for (const name of names) {
    await context.test(name.replaceAll('_', ' '), async () => {
      // A failed assertion stops its instance; its stack names the place.
      const { exports } = await WebAssembly.instantiate(module, imports);
      exports[name]();
    });
  }
});
