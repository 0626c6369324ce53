// Light or dark theme, chosen by the system or by the user.

const KEY = 'anyref-theme';

/** Applies the choice. */
export function applyTheme(): void {
  const chosen = localStorage.getItem(KEY);
  document.documentElement.dataset.theme = chosen ?? 'auto';
}

/** Switches between light and dark. */
export function nextTheme(): void {
  const dark = matchMedia('(prefers-color-scheme: dark)').matches;
  const now = document.documentElement.dataset.theme;
  const isDark = now === 'dark' || (now === 'auto' && dark);
  localStorage.setItem(KEY, isDark ? 'light' : 'dark');
  applyTheme();
  dispatchEvent(new Event('resize'));
}
