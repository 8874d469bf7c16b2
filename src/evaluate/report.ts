/**
 * An evaluation as a page for a person: scores beside published ones, box plots, the cases from worst to best with
 * pictures, curves of the training, calibration, and how all of it was made. From records to one HTML text; who finds
 * images, draws overlays and gathers the facts is the caller.
 */

import { type BoxPlot, boxPlotFigure, boxPlotStyle } from '../charts/boxPlot.ts';
import { type Chart, chartFigure } from '../charts/curves.ts';
import { escaped, htmlPage } from '../charts/page.ts';
import { counted } from '../errors.ts';
import { labelColor } from '../volume/picture.ts';
import type { Calibration, Reliability } from './calibration.ts';
import { distancesSaid, emptySaid } from './conditions.ts';
import {
  type EvaluatedCase,
  type EvaluatedLabel,
  type Evaluation,
  type LabelScores,
  type MetricName,
  type MetricSummary,
  mainMetrics,
  metrics,
  worstFirst,
} from './evaluation.ts';
import { type HeartEvaluation, heartMeasureNames, heartMeasures, heartNumber, heartRows } from './hearts.ts';
import { reportStyle } from './reportStyle.ts';
import { mean, median } from './statistics.ts';

/** A table of an article, with what keeps its numbers from being compared outright. */
export interface PublishedTable {
  /** Of the data set. */
  readonly title: string;
  readonly source: string;
  readonly evaluated: readonly Pick<EvaluatedLabel, 'name' | 'values'>[];
  /** Dice in percent, by the names in `evaluated`. */
  readonly rows: readonly {
    readonly method: string;
    readonly dice: Readonly<Record<string, number>>;
    readonly meanDice: number;
    readonly hd95?: number;
  }[];
  /** What differs between that protocol and this evaluation: a sentence each. */
  readonly differences: readonly string[];
}

/** From `overlayPicture`, as PNG. */
export interface CasePicture {
  readonly png: Uint8Array;
  readonly width: number;
  readonly height: number;
  /** Name of the label that its planes were chosen for. */
  readonly label: string;
}

export interface FactGroup {
  readonly title: string;
  readonly facts: readonly (readonly [name: string, value: string])[];
}

export interface Report {
  readonly title: string;
  readonly evaluation: Evaluation;
  /** By the name of the case; cases without one are listed in numbers. */
  readonly pictures?: ReadonlyMap<string, CasePicture>;
  readonly published?: PublishedTable;
  /** Function of the hearts, where the cases are frames of hearts. */
  readonly hearts?: HeartEvaluation;
  /** Curves of the training. */
  readonly training?: { readonly about: string; readonly charts: readonly Chart[] };
  readonly calibration?: Calibration;
  /** Versions, model, data: what the evaluation does not know itself. */
  readonly made?: readonly FactGroup[];
  /** SHA-256 of the files compared, by case, in hexadecimal digits. */
  readonly hashes?: ReadonlyMap<string, { readonly reference: string; readonly prediction: string }>;
  /** What the reader should know before all else, such as images that were not found. */
  readonly notices?: readonly string[];
}

/** What cases are ranked by. */
export const reportMetric = (evaluation: Pick<Evaluation, 'metrics'>): MetricName =>
  evaluation.metrics.includes('dice') ? 'dice' : evaluation.metrics[0];

/** The labels of a case, by their numbers in the list, the worst first. */
export function labelsWorstFirst(evaluation: Pick<Evaluation, 'metrics'>, { name, labels }: EvaluatedCase): number[] {
  const alone = labels.map((label): EvaluatedCase => ({ name, labels: [label] }));
  return worstFirst({ cases: alone }, reportMetric(evaluation)).map(({ each }) => alone.indexOf(each));
}

/**
 * CSS colors of the labels, as the pictures have them: of a region that of a value which no smaller region has, because that
 * is what is seen of it where regions lie within each other.
 */
export function labelColors(labels: readonly Pick<EvaluatedLabel, 'values'>[]): string[] {
  return labels.map(({ values }) => {
    const smaller = labels.filter((other) => other.values.length < values.length);
    const own = values.find((value) => smaller.every((other) => !other.values.includes(value))) ?? values[0];
    return `rgb(${labelColor(own).join(' ')})`;
  });
}

export function reportPage(report: Report): string {
  const { title, evaluation, hearts, training, calibration, published, notices = [] } = report;
  const sections: readonly (readonly [id: string, title: string, html: string])[] = [
    ['scores', 'Scores', scores(evaluation)],
    ...(published
      ? ([['published', 'Beside published scores', publishedSection(evaluation, published)]] as const)
      : []),
    ...(hearts ? ([['hearts', 'Function of the heart', heartsSection(hearts)]] as const) : []),
    ['spread', 'Every case', spread(evaluation)],
    ['cases', 'From worst to best', cases(report)],
    ...(training ? ([['training', 'Training', trainingSection(evaluation, training)]] as const) : []),
    ...(calibration ? ([['calibration', 'Calibration', calibrationSection(evaluation, calibration)]] as const) : []),
    ['made', 'How this was made', made(report)],
  ];
  const body = [
    `<header><p class="kind">Segmentation report</p>
<h1>${escaped(title)}</h1>
<p class="lead">${escaped(leadSentence(evaluation))}</p>
${keyFigures(evaluation)}
${notices.map((notice) => `<p class="notice">${escaped(notice)}</p>`).join('\n')}
<nav aria-label="Sections">${sections.map(([id, name]) => `<a href="#${id}">${name}</a>`).join('')}</nav></header>`,
    ...sections.map(([id, name, html]) => `<section id="${id}">\n<h2>${name}</h2>\n${html}\n</section>`),
    '<footer>Made by unetrpp. For research; not a medical device.</footer>',
  ];
  return htmlPage({ title: `${title}: segmentation report`, body, style: `${boxPlotStyle}${reportStyle}` });
}

/** Digits of a score: shares with three decimals, as articles have them. */
function shown(value: number | null | undefined, name: MetricName): string {
  if (value === null || value === undefined) return '–';
  const { unit } = metrics[name];
  return value.toFixed(unit === 'share' ? 3 : 2).replace('-', '−');
}

function heading(name: MetricName, { unit, tolerance }: Evaluation): string {
  const { title, unit: of } = metrics[name];
  if (name === 'nsd') return `${title}, ${tolerance} ${unit}`;
  return of === 'share' ? title : `${title}, ${of === 'mL' ? 'mL' : unit}`;
}

const percent = (confidence: number) => `${Number((100 * confidence).toFixed(2))} %`;

function leadSentence(evaluation: Evaluation): string {
  const { labels, summary, bootstrap } = evaluation;
  const metric = reportMetric(evaluation);
  const ranked = worstFirst(evaluation, metric).filter(({ value }) => value !== null);
  const { mean: center, low, high } = summary.foreground[metric]!;
  const of = bootstrap.patients === null ? '' : ` of ${counted(bootstrap.patients, 'patient')}`;
  const begin = `${counted(evaluation.cases.length, 'case')}${of}, ${counted(labels.length, 'label')}.`;
  if (ranked.length === 0) return `${begin} No case has a value of ${metrics[metric].title}.`;
  const unit = metrics[metric].unit === 'distance' ? ` ${evaluation.unit}` : '';
  const interval =
    low === null ? '' : ` (${percent(bootstrap.confidence)} interval ${shown(low, metric)} to ${shown(high, metric)})`;
  const middle = median(ranked.map(({ value }) => value!));
  const [worst] = ranked;
  const spread =
    ranked.length < 2
      ? ''
      : ` Half of the cases are better than ${shown(middle, metric)}; the worst is ${worst.each.name}, with ${shown(worst.value, metric)}.`;
  return `${begin} The mean ${metrics[metric].title} is ${shown(center, metric)}${unit}${interval}.${spread}`;
}

function chosenMetrics(evaluation: Evaluation): { main: readonly MetricName[]; more: readonly MetricName[] } {
  const main = mainMetrics(evaluation);
  return { main, more: evaluation.metrics.filter((each) => !main.includes(each)) };
}

function keyFigures(evaluation: Evaluation): string {
  const { summary, cases: all } = evaluation;
  const figures = chosenMetrics(evaluation).main.map((name): [string, string] => {
    const { title, unit } = metrics[name];
    const value = shown(summary.foreground[name]!.mean, name);
    return [title, unit === 'distance' ? `${value} <small>${evaluation.unit}</small>` : value];
  });
  const missed = summary.labels.reduce((sum, label) => sum + label.missed, 0);
  const invented = summary.labels.reduce((sum, label) => sum + label.invented, 0);
  figures.push(['Cases', String(all.length)], ['Missed / invented', `${missed} / ${invented}`]);
  return `<dl class="figures">${figures.map(([name, value]) => `<div><dt>${name}</dt><dd>${value}</dd></div>`).join('')}</dl>`;
}

const swatch = (color: string) => `<i class="swatch" style="background: ${color}"></i>`;

/** @param kind classes; of a table of scores every cell knows its head, because a phone shows no columns of it */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[], kind = ''): string {
  const named = kind.startsWith('scores');
  const cell = (text: string, i: number) => {
    if (i === 0) return `<th scope="row">${text}</th>`;
    return `<td${named ? ` data-head="${head[i]}"` : ''}>${text}</td>`;
  };
  return `<div class="table"><table${kind && ` class="${kind}"`}>
<thead><tr>${head.map((each) => `<th scope="col">${each}</th>`).join('')}</tr></thead>
<tbody>
${rows.map((row) => `<tr>${row.map(cell).join('')}</tr>`).join('\n')}
</tbody>
</table></div>`;
}

function withInterval({ mean: center, low, high }: MetricSummary, name: MetricName): string {
  const interval = low === null ? '' : `<small>${shown(low, name)} to ${shown(high, name)}</small>`;
  return `${shown(center, name)}${interval}`;
}

function scores(evaluation: Evaluation): string {
  const { labels, summary, bootstrap, cases: all } = evaluation;
  const colors = labelColors(labels);
  const { main, more } = chosenMetrics(evaluation);
  const table = (names: readonly MetricName[], counts: boolean) => {
    const rows = summary.labels.map((label, index) => [
      `${swatch(colors[index])}${escaped(label.name)}`,
      ...names.map((name) => withInterval(label.metrics[name]!, name)),
      ...(counts ? [String(all.length - label.absent), `${label.missed} / ${label.invented}`] : []),
    ]);
    if (labels.length > 1) {
      const foreground = names.map((name) => withInterval(summary.foreground[name]!, name));
      rows.push(['Mean of labels', ...foreground, ...(counts ? ['', ''] : [])]);
    }
    const head = ['Label', ...names.map((name) => heading(name, evaluation))];
    return tableOf(
      [...head, ...(counts ? ['Cases', 'Missed / invented'] : [])],
      rows,
      labels.length > 1 ? 'scores totals' : 'scores',
    );
  };
  const conditions = distancesSaid(evaluation).replace(/^; (.)/, (_, first: string) => first.toUpperCase());
  return `<p>Means over cases; below each its ${percent(bootstrap.confidence)} bootstrap interval${bootstrap.patients === null ? '' : ', which draws patients, since scans of one patient are alike'}.</p>
${table(main, true)}
<p class="note">${escaped([conditions && `${conditions}.`, emptySaid(evaluation)].filter(Boolean).join(' '))}</p>
${more.length === 0 ? '' : `<details><summary>${counted(more.length, 'further metric')}</summary>\n${table(more, false)}\n</details>`}`;
}

/** This evaluation as a row of that table; undefined where a label of it was not scored. */
function ownRow(evaluation: Evaluation, { evaluated }: PublishedTable) {
  const summaries = evaluated.map(({ values }) =>
    evaluation.summary.labels.find((label) => label.values.join() === values.join()),
  );
  const of = (name: MetricName) => summaries.map((label) => label?.metrics[name]?.mean ?? Number.NaN);
  return { dice: of('dice').map((value) => 100 * value), hd95: of('hd95') };
}

function publishedSection(evaluation: Evaluation, table: PublishedTable): string {
  const { evaluated, rows, source, differences } = table;
  const own = ownRow(evaluation, table);
  const two = (value: number | undefined) => (value === undefined || Number.isNaN(value) ? '–' : value.toFixed(2));
  const distances = rows.some(({ hd95 }) => hd95 !== undefined);
  const head = ['Method', ...evaluated.map(({ name }) => escaped(name)), 'Mean', ...(distances ? ['HD95'] : [])];
  const others = rows.map(({ method, dice, meanDice, hd95 }) => [
    escaped(method),
    ...evaluated.map(({ name }) => two(dice[name])),
    two(meanDice),
    ...(distances ? [two(hd95)] : []),
  ]);
  const ours = [
    'This evaluation',
    ...own.dice.map(two),
    two(mean(own.dice)),
    ...(distances ? [two(mean(own.hd95))] : []),
  ];
  return `<p>Dice in percent, ${escaped(table.title)}. Published: ${escaped(source)}.</p>
${tableOf(head, [...others, ours], 'totals')}
${differences.length === 0 ? '' : `<p>What differs from the published protocol:</p>\n<ul class="plain">${differences.map((each) => `<li>${escaped(each)}</li>`).join('')}</ul>`}`;
}

function heartsSection(evaluated: HeartEvaluation): string {
  const { hearts, agreement } = evaluated;
  const typeset = (text: string) => (text === '-' ? '–' : text.replace('-', '−'));
  const rows = heartRows(evaluated).map(
    ({ title, unit, reference, predicted, bias, limits, meanAbsolute, correlation }) => [
      `${title}, ${unit}`,
      typeset(reference),
      typeset(predicted),
      `${typeset(bias)}${limits ? `<small>${limits.map(typeset).join(' to ')}</small>` : ''}`,
      typeset(meanAbsolute),
      typeset(correlation),
    ],
  );
  const single = hearts.map(({ patient, reference, predicted }) => [
    escaped(patient),
    ...heartMeasureNames.map((name) =>
      [reference[name], predicted[name]].map((value) => typeset(heartNumber(value))).join(' → '),
    ),
  ]);
  const missing = heartMeasureNames.filter((name) => agreement[name].hearts < hearts.length);
  const note = missing
    .map(
      (name) => `${heartMeasures[name].title}: ${agreement[name].hearts} of ${hearts.length} hearts have both values.`,
    )
    .join(' ');
  return `<p>${counted(hearts.length, 'heart')}: what the predicted masks say, and what the reference says. The error is predicted − reference; below it the limits between which 95 % of errors lie (bias ∓ 1.96 standard deviations), if they are normal.</p>
${tableOf(['Mean', 'Reference', 'Predicted', 'Error', 'Mean |error|', 'Correlation'], rows, 'scores')}
${note && `<p class="note">${note}</p>`}
<details><summary>Every heart: reference → predicted</summary>
${tableOf(['Patient', ...heartMeasureNames.map((name) => `${heartMeasures[name].title}, ${heartMeasures[name].unit}`)], single)}
</details>
<p class="note">Ejection fraction 100 (EDV − ESV) / EDV; mass 1.05 g for each mL of myocardium at the end of diastole.</p>`;
}

/**
 * Box plots of the cases. Distances of missed and invented labels are made by the rule for empty masks (the image's diagonal,
 * say), and would squeeze all that was measured into a corner: they are counted beside the label's name instead.
 */
function spread(evaluation: Evaluation): string {
  const { labels } = evaluation;
  const colors = labelColors(labels);
  let undrawn = 0;
  const plots = chosenMetrics(evaluation).main.map((name): BoxPlot => {
    const groups = labels.map((label, index) => {
      const all = evaluation.cases.flatMap((each) => {
        const { scores: of, empty } = each.labels[index];
        const value = of[name] ?? null;
        return value === null ? [] : [{ name: each.name, value, ruled: empty !== null }];
      });
      const values = metrics[name].unit === 'distance' ? all.filter(({ ruled }) => !ruled) : all;
      const rest = all.length - values.length;
      undrawn += rest;
      return { name: rest > 0 ? `${label.name} (and ${rest} by rule)` : label.name, color: colors[index], values };
    });
    return { title: heading(name, evaluation), groups, include: metrics[name].better === 'lower' ? [0] : [] };
  });
  const ruled =
    undrawn === 0 ? '' : ' Distances that the rule for empty masks gives are counted beside the name, not drawn.';
  return `<p>A point is a case. The box holds the middle half of them, its line is the median; whiskers reach the last case within 1.5 box lengths.${ruled}</p>
<div class="charts">
${plots.map(boxPlotFigure).join('\n')}
</div>`;
}

/** Rows of labels in a case's card. */
const cardLabels = 6;

function cases(report: Report): string {
  const { evaluation, pictures = new Map<string, CasePicture>() } = report;
  const metric = reportMetric(evaluation);
  const ranked = worstFirst(evaluation, metric).map((entry, index) => ({ ...entry, rank: index + 1 }));
  const drawn = ranked.filter(({ each }) => pictures.has(each.name));
  const colors = labelColors(evaluation.labels);
  const legend = evaluation.labels.map(({ name }, index) => `<li>${swatch(colors[index])}${escaped(name)}</li>`);
  const parts = [
    `<p>Ranked by mean ${metrics[metric].title} over labels.${drawn.length > 0 ? ' Each picture goes through the place where its worst label differs most: axial, coronal, sagittal.' : ''}</p>`,
  ];
  if (drawn.length > 0) {
    parts.push(
      `<ul class="legend"><li><i class="swatch"></i>filled: prediction</li><li><i class="swatch line"></i>line: reference</li>${legend.join('')}</ul>`,
      `<div class="cards">\n${drawn.map((entry) => card(evaluation, entry, pictures.get(entry.each.name)!, colors)).join('\n')}\n</div>`,
    );
  }
  const rest = ranked.filter(({ each }) => !pictures.has(each.name));
  if (rest.length > 0) {
    if (drawn.length > 0) parts.push('<h3>The others, in numbers</h3>');
    parts.push(caseTable(evaluation, rest));
  }
  return parts.join('\n');
}

interface Ranked {
  readonly each: EvaluatedCase;
  readonly value: number | null;
  readonly rank: number;
}

/** The second thing said of a label in a case: a distance beside an overlap, where there is one. */
const secondMetric = (evaluation: Evaluation): MetricName | undefined => {
  const first = reportMetric(evaluation);
  return chosenMetrics(evaluation).main.find((name) => metrics[name].unit !== metrics[first].unit);
};

function card(evaluation: Evaluation, { each, value, rank }: Ranked, picture: CasePicture, colors: readonly string[]) {
  const { labels } = evaluation;
  const metric = reportMetric(evaluation);
  const second = secondMetric(evaluation);
  const order = labelsWorstFirst(evaluation, each);
  const listed = labels.length <= cardLabels ? labels.map((_, index) => index) : order.slice(0, cardLabels);
  const rows = listed.map((index) => [
    `${swatch(colors[index])}${escaped(labels[index].name)}`,
    scoreOf(each.labels[index], metric),
    ...(second ? [shown(each.labels[index].scores[second], second)] : []),
    each.labels[index].referenceMl.toFixed(2),
    each.labels[index].predictedMl.toFixed(2),
  ]);
  const head = ['', heading(metric, evaluation), ...(second ? [heading(second, evaluation)] : [])];
  const more = labels.length - listed.length;
  const alt = `${each.name}: prediction and reference, through the largest difference of ${picture.label}`;
  return `<article>
<h3><span>${rank}</span>${escaped(each.name)}<b>${shown(value, metric)}</b></h3>
<img src="data:image/png;base64,${base64(picture.png)}" width="${picture.width}" height="${picture.height}" alt="${escaped(alt)}" />
${tableOf([...head, 'Reference, mL', 'Predicted, mL'], rows)}
${more > 0 ? `<p class="note">${counted(more, 'further label')} with better scores.</p>` : ''}</article>`;
}

/** A score, or why it has the value that it has. */
function scoreOf({ scores: of, empty }: LabelScores, name: MetricName): string {
  return empty === null ? shown(of[name], name) : `${shown(of[name], name)} <small>${empty}</small>`;
}

function caseTable(evaluation: Evaluation, ranked: readonly Ranked[]): string {
  const metric = reportMetric(evaluation);
  const second = secondMetric(evaluation);
  const rows = ranked.map(({ each, value, rank }) => {
    const [worst] = labelsWorstFirst(evaluation, each);
    const distance = second && mean(each.labels.flatMap(({ scores: of }) => of[second] ?? []));
    return [
      `<span>${rank}</span>${escaped(each.name)}`,
      shown(value, metric),
      ...(second ? [shown(Number.isNaN(distance) ? null : distance, second)] : []),
      `${escaped(evaluation.labels[worst].name)} ${shown(each.labels[worst].scores[metric], metric)}`,
    ];
  });
  const head = ['Case', heading(metric, evaluation), ...(second ? [heading(second, evaluation)] : []), 'Worst label'];
  return tableOf(head, rows, 'ranks');
}

function trainingSection({ labels }: Evaluation, { about, charts }: NonNullable<Report['training']>): string {
  const colors = new Map(labelColors(labels).map((color, index) => [labels[index].name, color]));
  const figures = charts.map((chart) =>
    chartFigure({ ...chart, curves: chart.curves.map((curve) => ({ ...curve, color: colors.get(curve.name) })) }),
  );
  return `<p>${escaped(about)}</p>\n<div class="charts">\n${figures.join('\n')}\n</div>`;
}

function calibrationSection(evaluation: Evaluation, calibration: Calibration): string {
  const { labels, chosen, cases: count, marginMm } = calibration;
  const colors = labelColors(evaluation.labels);
  const error = (value: number | null) => (value === null ? '–' : value.toFixed(3));
  const chart: Chart = {
    title: 'Observed frequency by predicted probability',
    include: [0, 1],
    across: { title: 'probability', include: [0, 1] },
    diagonal: true,
    height: 340,
    curves: labels.map(({ name, bins, expectedError }, index) => ({
      name,
      color: colors[index],
      note: `ECE ${error(expectedError)}`,
      points: bins.flatMap(({ probability, frequency }) =>
        probability === null || frequency === null ? [] : [{ x: probability, y: frequency }],
      ),
    })),
  };
  const row = (name: string, { expectedError, averageError }: Reliability) => [
    name,
    error(expectedError),
    error(averageError),
  ];
  return `<p>Of the voxels that are given 0.7, seven in ten should have the label: that is the dashed line. Below it the label is rarer than the network says, above it more common.</p>
<div class="charts">
${chartFigure(chart)}
<div>
${tableOf(
  ['Calibration error', 'ECE', 'ACE'],
  [
    ...labels.map((label, index) => row(`${swatch(colors[index])}${escaped(label.name)}`, label)),
    ...(chosen ? [row('Chosen class', chosen)] : []),
  ],
  'totals',
)}
<p class="note">The distance from the line: the expected error (ECE) is its mean over voxels, the average error (ACE) its mean over the ${labels[0].bins.length} bins. ${escaped(certainSaid(labels))}</p>
<p class="note">${counted(count, 'case')}, ${labels[0].voxels.toLocaleString('en-US')} voxels: those within ${marginMm} mm of the box around reference and prediction. Each label is taken against all else${chosen ? '; the chosen class is the most probable one, background included' : ''}.</p>
</div>
</div>`;
}

/** Why the expected error is small where the curve is not close to the line. */
function certainSaid(labels: readonly Reliability[]): string {
  const share = mean(labels.map(({ bins, voxels }) => (bins[0].voxels + bins[bins.length - 1].voxels) / voxels));
  if (!(share > 0.5)) return '';
  return `In ${(100 * share).toFixed(1)} % of the voxels the probability is near 0 or 1, and these decide the ECE.`;
}

function made({ evaluation, made: groups = [], hashes }: Report): string {
  const { convention, unit, tolerance, empty, bootstrap, labels, ignoreLabel, cases: all, metrics: names } = evaluation;
  const settings: FactGroup = {
    title: 'Settings',
    facts: [
      ['labels', labels.map(({ name, values }) => `${name} (${values.join(', ')})`).join('; ')],
      ...(ignoreLabel === undefined ? [] : [['left out', `voxels with the value ${ignoreLabel}`] as const]),
      ...(names.some((name) => metrics[name].unit === 'distance')
        ? [['distances', `as ${convention} defines them, in ${unit === 'mm' ? 'mm' : 'voxels'}`] as const]
        : []),
      ...(names.includes('nsd') ? [['NSD within', `${tolerance} ${unit}, as ${convention} defines it`] as const] : []),
      ['empty masks', `rule “${empty}”`],
      [
        'intervals',
        `${percent(bootstrap.confidence)}, percentile bootstrap of ${bootstrap.resamples.toLocaleString('en-US')} draws of ${bootstrap.patients === null ? 'cases' : 'patients'}, seed ${bootstrap.seed}`,
      ],
    ],
  };
  const group = ({ title, facts }: FactGroup) => `<div><h3>${escaped(title)}</h3>
<dl>${facts.map(([name, value]) => `<div><dt>${escaped(name)}</dt><dd>${escaped(value)}</dd></div>`).join('')}</dl></div>`;
  const rows = all.flatMap(({ name }) => {
    const found = hashes?.get(name);
    return found ? [[escaped(name), `<code>${found.reference}</code>`, `<code>${found.prediction}</code>`]] : [];
  });
  return `<div class="facts">
${[...groups, settings].map(group).join('\n')}
</div>
${rows.length === 0 ? '' : `<details><summary>SHA-256 of the files compared</summary>\n${tableOf(['Case', 'Reference', 'Prediction'], rows, 'hashes')}\n</details>`}`;
}

function base64(bytes: Uint8Array): string {
  let text = '';
  // In parts, because a function takes only so many arguments.
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}
