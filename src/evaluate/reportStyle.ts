/** How a report looks: on a screen light or dark, on a phone, on paper. What it shares with other pages is in charts/page.ts. */
export const reportStyle = `
main { max-width: 1080px; padding: 40px 20px 56px; overflow-wrap: anywhere; }
header { border-bottom: 1px solid var(--rule); padding-bottom: 20px; }
.kind { color: var(--faint); font-size: 0.85rem; margin: 0 0 4px; }
h1 { font-size: 1.9rem; letter-spacing: -0.015em; font-weight: 650; margin: 0 0 10px; }
h2 { font-size: 1.25rem; letter-spacing: -0.005em; margin: 0 0 8px; }
h3 { font-size: 0.95rem; margin: 24px 0 8px; break-after: avoid; overflow-wrap: anywhere; }
.lead { font-size: 1.1rem; max-width: 66ch; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(120px, 1fr)); gap: 16px 24px; margin: 28px 0 20px; }
.figures dd { font-size: 1.7rem; line-height: 1.2; font-weight: 600; letter-spacing: -0.01em; white-space: nowrap; }
.figures small { font-size: 0.95rem; font-weight: 400; color: var(--faint); }
.notice { border-left: 3px solid var(--c1); padding-left: 10px; margin: 0 0 14px; }
nav { display: flex; flex-wrap: wrap; gap: 4px 20px; font-size: 0.9rem; }
a { color: var(--c0); text-underline-offset: 3px; text-decoration-thickness: 1px; }
section { margin-top: 44px; }
section > p { margin-bottom: 12px; }
p { text-wrap: pretty; }
.note { color: var(--faint); font-size: 0.85rem; margin-top: 8px; max-width: 80ch; }
.table + p { margin-top: 12px; }
.plain { margin: 0; padding-left: 1.2em; max-width: 75ch; }
.plain li { margin-bottom: 4px; }
.charts { max-width: none; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 28px 40px; }
.diagonal { stroke: var(--faint); stroke-dasharray: 3 4; fill: none; }
table { width: 100%; font-size: 0.9rem; }
thead th { vertical-align: bottom; font-size: 0.8rem; }
tbody th { color: var(--ink); font-weight: 400; }
th:first-child { text-align: left; }
th:last-child, td:last-child { padding-right: 0; }
td small { display: block; color: var(--faint); font-size: 0.75rem; }
.totals tbody tr:last-child > * { border-bottom: 0; border-top: 1px solid var(--faint); font-weight: 600; }
.totals tbody tr:last-child small { font-weight: 400; }
.swatch { display: inline-block; width: 0.7em; height: 0.7em; border-radius: 2px; margin-right: 0.5em; background: var(--faint); print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.swatch.line { background: none; box-sizing: border-box; border: 2px solid var(--faint); }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 18px; margin: 0 0 16px; padding: 0; font-size: 0.85rem; color: var(--faint); }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 440px), 1fr)); gap: 28px 32px; }
article { min-width: 0; break-inside: avoid; }
article h3 { display: flex; gap: 10px; align-items: baseline; margin: 0 0 6px; }
article h3 b { margin-left: auto; font-variant-numeric: tabular-nums; }
article h3 span, .ranks tbody th span { color: var(--faint); font-weight: 400; font-variant-numeric: tabular-nums; }
.ranks tbody th span { display: inline-block; min-width: 2em; }
article img { display: block; width: 100%; height: auto; border-radius: 6px; background: #101216; }
article table { font-size: 0.8rem; margin-top: 4px; }
article thead th { font-size: 0.75rem; padding-bottom: 0; border-bottom: 0; white-space: normal; }
article tbody tr:last-child > * { border-bottom: 0; }
article td small { display: inline; margin-left: 0.3em; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--c0); font-size: 0.9rem; width: fit-content; }
.facts { columns: 380px 2; column-gap: 40px; }
.facts > div { break-inside: avoid; padding-bottom: 16px; }
.facts h3 { margin: 0 0 4px; }
.facts dl { display: block; margin: 0; font-size: 0.85rem; }
.facts dl > div { display: grid; grid-template-columns: 8.5em 1fr; gap: 12px; padding: 3px 0; border-bottom: 1px solid var(--rule); }
.facts dt { font-size: inherit; }
.facts dd { font-size: inherit; overflow-wrap: anywhere; min-width: 0; }
code { font: 0.75rem ui-monospace, monospace; }
footer { margin-top: 48px; color: var(--faint); font-size: 0.85rem; }
@media (max-width: 600px) {
  main { padding: 24px 16px 40px; }
  h1 { font-size: 1.5rem; }
  .lead { font-size: 1rem; }
  .figures { grid-template-columns: repeat(3, 1fr); gap: 14px 12px; }
  .figures dd { font-size: 1.3rem; }
  .scores, .scores tbody { display: block; }
  .scores thead, .scores td:empty { display: none; }
  .scores tr { display: grid; grid-template-columns: repeat(3, 1fr); gap: 6px 12px; padding: 12px 0; border-bottom: 1px solid var(--rule); }
  .scores tbody th:first-child { position: static; }
  .scores tbody th { grid-column: 1 / -1; font-weight: 600; }
  .scores tbody tr > * { min-width: 0; text-align: left; padding: 0; border: 0; white-space: normal; }
  .scores td::before { content: attr(data-head); display: block; color: var(--faint); font-size: 0.75rem; font-weight: 400; }
  .scores.totals tbody tr:last-child > * { border: 0; }
  .table th:first-child { position: sticky; left: 0; background: var(--page); }
  article th, article td { padding: 4px 5px; }
  .facts dl > div { grid-template-columns: 7em 1fr; }
}
@media print {
  @page { margin: 16mm 15mm; }
  body { font-size: 10pt; }
  nav, summary { display: none; }
  details::details-content { content-visibility: visible; block-size: auto; }
  section { margin-top: 20px; }
  table { font-size: 8.5pt; }
  tr { break-inside: avoid; }
  .figures { grid-template-columns: repeat(6, auto); }
  .figures dd { font-size: 1.3rem; }
  .charts { grid-template-columns: 1fr 1fr; gap: 16px 24px; }
  li { break-inside: avoid; }
  .cards { grid-template-columns: 1fr 1fr; gap: 18px 20px; }
  article table, article thead th { font-size: 7pt; }
  article th, article td { padding: 2px 4px; }
  article img { print-color-adjust: exact; }
  .facts { columns: 2; }
  section > p, .legend { break-after: avoid; break-inside: avoid; }
  .facts dl { font-size: 8pt; }
  .hashes { table-layout: fixed; }
  .hashes, .hashes code { font-size: 5.3pt; }
  .hashes th, .hashes td { padding: 1px 4px; white-space: normal; overflow-wrap: anywhere; }
  .hashes th:first-child { width: 16%; }
}
`;
