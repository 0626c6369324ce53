// Bundles the page into ../assets/page, or into the folder named by the first argument; what differs
// where it computes in the browser alone into ../../anyref-web/page, or into the second one.
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, '../assets/page');
const alone = process.argv[3] ?? join(here, '../../anyref-web/page');
for (const folder of [out, alone]) {
  mkdirSync(folder, { recursive: true });
}
const options = {
  absWorkingDir: here,
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  legalComments: 'none',
  minify: true,
  target: ['es2022'],
};
await build({
  ...options,
  entryPoints: { page: 'src/main.ts', docs: 'src/docs.ts', style: 'src/style.css' },
  outdir: out,
});
await build({
  ...options,
  conditions: ['browser-alone'],
  entryPoints: { page: 'src/main.ts', worker: 'src/wasm_worker.ts' },
  outdir: alone,
});
for (const file of ['index.html', 'docs.html', 'icon.svg']) {
  copyFileSync(join(here, 'src', file), join(out, file));
}
