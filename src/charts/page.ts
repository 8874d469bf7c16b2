/**
 * The page that charts stand in: one HTML file that needs nothing else, no script and no network, so that it can be opened
 * from disk, mailed and printed. Colors follow the reader's light or dark theme; paper is always light.
 */

export interface Page {
  readonly title: string;
  /** HTML of what the page holds. */
  readonly body: readonly string[];
  /** CSS besides `pageStyle`. */
  readonly style: string;
  /** Left out: the page is read once. */
  readonly refreshSeconds?: number;
}

export function htmlPage({ title, body, style, refreshSeconds }: Page): string {
  return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8" />
<meta name="viewport" content="width=device-width, initial-scale=1" />
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:" />
${refreshSeconds === undefined ? '' : `<meta http-equiv="refresh" content="${refreshSeconds}" />\n`}<link rel="icon" href="data:," />
<title>${escaped(title)}</title>
<style>${pageStyle}${style}</style>
</head>
<body>
<main>
${body.join('\n')}
</main>
</body>
</html>
`;
}

/** Text as HTML and SVG show it, in elements and in attributes. */
export function escaped(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  // Control characters are allowed in no HTML.
  return text.replace(/[&<>"']/g, (each) => entities[each]).replace(/[^\P{Cc}\t\n]/gu, '\ufffd');
}

/** Sets the color of what is drawn in an element: any that is given, a little darker on white and lighter on black. */
export const colored = (color: string) => `style="--c: color-mix(in oklab, ${escaped(color)} 84%, var(--ink))"`;

/** Curves have so many colors; further ones are dashed. */
export const curveColors = 8;

/** Okabe and Ito's colors, darker on white and lighter on black. */
const light = `--ink: #1c1f24; --faint: #5c6570; --rule: #dfe3e8; --page: #ffffff; --panel: #f6f7f9;
  --c0: #0065a8; --c1: #c44e00; --c2: #00795a; --c3: #a64f86; --c4: #8a6d00; --c5: #2f8fc4; --c6: #b3261e; --c7: #4b4f57;`;
const dark = `--ink: #e8eaed; --faint: #a3abb5; --rule: #343a42; --page: #14171b; --panel: #1b1f24;
  --c0: #56b4e9; --c1: #f0923c; --c2: #2fc79a; --c3: #de94c2; --c4: #f0e442; --c5: #8fb8ff; --c6: #ff7b6e; --c7: #c9ced6;`;

export const chartColors = `
:root { color-scheme: light dark; ${light} }
@media (prefers-color-scheme: dark) { :root { ${dark} } }`;

export const chartStyle = `
svg text { fill: var(--faint); font-size: 12px; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--rule); fill: none; }
.axis, .tick { stroke: var(--faint); fill: none; }
.curve { stroke: var(--c); fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.dashed .curve { stroke-dasharray: 5 4; }
circle { fill: var(--c); }
${Array.from({ length: curveColors }, (_, index) => `.c${index} { --c: var(--c${index}); }`).join(' ')}`;

const pageStyle = `${chartColors}${chartStyle}
@media print { :root { color-scheme: light; ${light} } }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 1160px; margin: 0 auto; padding: 24px 16px 48px; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 8px; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 32px 0 8px; break-after: avoid; }
p { margin: 0 0 4px; max-width: 70ch; overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 8px 32px; margin: 20px 0; }
dt { color: var(--faint); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.charts { max-width: 920px; display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 340px), 1fr)); gap: 24px; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figcaption { font-weight: 600; margin-bottom: 4px; }
figure > svg { display: block; width: 100%; height: auto; }
figure > ul { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 6px 0 0; padding: 0; font-size: 0.85rem; }
figure li { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.key { width: 18px; height: 6px; margin-right: 6px; vertical-align: middle; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.85rem; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 8px; text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
th { color: var(--faint); font-weight: 500; }
th:first-child, td:first-child { padding-left: 0; }
@media print { main { max-width: none; padding: 0; } .charts { max-width: none; grid-template-columns: 1fr 1fr; }
  .table { overflow: visible; } }
`;
