/**
 * Which files of an original download are which cases, by the patterns of its recipe: only paths are looked at. Reading and
 * writing is for converting.node.ts.
 */
import { InputError } from '../errors.ts';
import type { OriginalLayout } from './recipes.ts';

/** Paths from the folder that the user named, with `/`. */
interface OriginalCase {
  readonly name: string;
  readonly images: readonly string[];
  readonly label: string;
  readonly patient?: { readonly name: string; readonly info?: string; readonly frame?: number };
}

export interface OriginalCases {
  readonly layout: OriginalLayout;
  /** In the order of their names. */
  readonly cases: readonly OriginalCase[];
  readonly testCases: readonly { readonly name: string; readonly image: string }[];
}

/** What the holes of a pattern stand for, such as `{ patient: '001', frame: '12' }`. */
type Numbers = Readonly<Record<string, string>>;

/** `img{id}.nii` as an expression for whole paths: digits at a hole, and the same ones where it comes again. */
function expressionOf(pattern: string): RegExp {
  const seen = new Set<string>();
  const source = pattern
    .split(/(\{\w+\})/)
    .map((part) => {
      const hole = /^\{(\w+)\}$/.exec(part)?.[1];
      if (hole === undefined) return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
      if (seen.has(hole)) return `\\k<${hole}>`;
      seen.add(hole);
      return `(?<${hole}>\\d+)`;
    })
    .join('');
  return new RegExp(`^${source}$`);
}

const filled = (pattern: string, numbers: Numbers) => pattern.replace(/\{(\w+)\}/g, (_, hole) => numbers[hole]);

/**
 * @param paths all files below the folder, from there, with `/`
 * @param folder what to call it in messages
 * @throws InputError when no layout fits, or parts of a case are missing
 */
export function findOriginal(
  paths: readonly string[],
  layouts: readonly OriginalLayout[],
  folder: string,
): OriginalCases {
  const candidates = layouts.flatMap((layout) =>
    layout.within.map((within) => {
      const prefix = within === '' ? '' : `${within}/`;
      const inside = paths.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
      return { layout, prefix, inside, numbers: numbersOf(inside, layout) };
    }),
  );
  const best = candidates.reduce((a, b) => (b.numbers.size > a.numbers.size ? b : a));
  if (best.numbers.size === 0) {
    const wanted = layouts.map(({ called, images, label }) => `${images[0]} and ${label} (${called})`);
    throw new InputError(
      `${folder} holds nothing like ${wanted.join(', or ')}; give the folder of the unpacked download.`,
    );
  }
  const { layout, prefix, inside, numbers } = best;
  const present = new Set(inside);
  const cases: OriginalCase[] = [];
  const missing: string[] = [];
  const need = (path: string) => {
    if (!present.has(path)) missing.push(prefix + path);
    return prefix + path;
  };
  for (const each of numbers.values()) {
    const images = layout.images.map((pattern) => need(filled(pattern, each)));
    const label = need(filled(layout.label, each));
    const patient = layout.patient && {
      name: filled(layout.patient, each),
      ...(layout.patientInfo && { info: need(filled(layout.patientInfo, each)) }),
      ...(each.frame !== undefined && { frame: Number(each.frame) }),
    };
    cases.push({ name: filled(layout.case, each), images, label, ...(patient && { patient }) });
  }
  if (missing.length > 0) {
    const names = [...new Set(missing)];
    const shown = names.slice(0, 3).join(', ');
    const more = names.length > 3 ? ` and ${names.length - 3} more files` : '';
    throw new InputError(`${folder} lacks ${shown}${more}; download or unpack it again.`);
  }
  cases.sort((a, b) => (a.name < b.name ? -1 : 1));
  const { testImages, testCase } = layout;
  const testExpression = testImages === undefined ? undefined : expressionOf(testImages);
  const testCases = inside.flatMap((path) => {
    const found = testExpression?.exec(path)?.groups;
    return found && testCase ? [{ name: filled(testCase, found), image: prefix + path }] : [];
  });
  return { layout, cases, testCases: testCases.sort((a, b) => (a.name < b.name ? -1 : 1)) };
}

/** Of every case of which there is an image or a label map, by its name. */
function numbersOf(inside: readonly string[], layout: OriginalLayout): Map<string, Numbers> {
  const expressions = [...layout.images, layout.label].map(expressionOf);
  const found = new Map<string, Numbers>();
  for (const path of inside) {
    for (const expression of expressions) {
      const numbers = expression.exec(path)?.groups;
      if (numbers) found.set(filled(layout.case, numbers), numbers);
    }
  }
  return found;
}

/** What an `Info.cfg` of ACDC says, under the names that patients.json has. */
export interface PatientInfo {
  readonly group: string;
  /** Numbers of the frames, from 1. */
  readonly ED_frame: number;
  readonly ES_frame: number;
  readonly frames_in_cine?: number;
  readonly height_cm?: number;
  readonly weight_kg?: number;
}

/** @throws InputError when the frames or the group are not there */
export function parsePatientInfo(text: string, name: string): PatientInfo {
  const entries = text.split(/\r?\n/).flatMap((line) => {
    const found = /^\s*(\w+)\s*:\s*(\S+)\s*$/.exec(line);
    return found ? [[found[1], found[2]] as const] : [];
  });
  const values = new Map(entries);
  const number = (key: string): number | undefined => {
    const value = Number(values.get(key) ?? Number.NaN);
    return Number.isFinite(value) ? value : undefined;
  };
  const [group, ed, es] = [values.get('Group'), number('ED'), number('ES')];
  if (group === undefined || ed === undefined || es === undefined) {
    throw new InputError(`${name} does not say ED, ES and Group, one "Key: value" a line; download it again.`);
  }
  const [frames, height, weight] = [number('NbFrame'), number('Height'), number('Weight')];
  return {
    group,
    ED_frame: ed,
    ES_frame: es,
    ...(frames !== undefined && { frames_in_cine: frames }),
    ...(height !== undefined && { height_cm: height }),
    ...(weight !== undefined && { weight_kg: weight }),
  };
}
