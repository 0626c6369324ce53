// Bundles the page into ../assets/page, or into the folder named by the first argument.
import { copyFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const out = process.argv[2] ?? join(here, '../assets/page');
mkdirSync(out, { recursive: true });
await build({
  absWorkingDir: here,
  entryPoints: { page: 'src/main.ts', docs: 'src/docs.ts', style: 'src/style.css' },
  bundle: true,
  charset: 'utf8',
  format: 'esm',
  legalComments: 'none',
  minify: true,
  outdir: out,
  target: ['es2022'],
});
for (const file of ['index.html', 'docs.html', 'icon.svg']) {
  copyFileSync(join(here, 'src', file), join(out, file));
}
